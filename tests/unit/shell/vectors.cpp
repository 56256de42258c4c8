// SPDX-License-Identifier: MIT
// Reads the vectors of tests/cases/plugin.
#include "tests/unit/shell/vectors.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "object/asm.h"
#include "tests/paths.h"

namespace mimicsh::test {

namespace {

std::string trimmed(const std::string& text) {
    const size_t first = text.find_first_not_of(' ');
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> fields_of(const std::string& line) {
    std::vector<std::string> fields;
    std::istringstream in(line.substr(1));
    for (std::string field; std::getline(in, field, '|');) {
        fields.push_back(trimmed(field));
    }
    return fields;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

/// The program with its number put in; an offset below 0 is written with a minus.
std::string with_number(std::string source, const std::string& number) {
    if (number.starts_with('-')) {
        replace_all(source, "+ {k}", "- " + number.substr(1));
    }
    replace_all(source, "{k}", number);
    return source;
}

void read_case(const std::string& line, Vector vector, std::vector<Vector>& out) {
    const auto fields = fields_of(line);
    ASSERT_GE(fields.size(), 3U) << "line " << vector.line;
    if (fields[0].starts_with("k=")) {
        vector.source = with_number(vector.source, fields[0].substr(2));
    }
    const auto memory = from_hex(fields[1]);
    ASSERT_TRUE(memory) << "line " << vector.line;
    vector.memory = *memory;
    if (fields[2].starts_with("error: ")) {
        vector.error = fields[2].substr(7);
    } else {
        vector.result = std::stoull(fields[2], nullptr, 16);
    }
    vector.refused = fields.size() > 3 && fields[3] == "refused";
    out.push_back(std::move(vector));
}

std::vector<Vector> read_vectors() {
    std::vector<Vector> out;
    std::ifstream in(in_tree("tests/cases/plugin/vectors.txt"));
    EXPECT_TRUE(in.good());
    Vector now;
    for (std::string line; std::getline(in, line);) {
        ++now.line;
        if (line.starts_with("form ")) {
            now.form = line.substr(5);
            now.on_skb = now.form.ends_with(" skb");
            now.form.resize(now.on_skb ? now.form.size() - 4 : now.form.size());
            now.source.clear();
        } else if (line.starts_with(":")) {
            read_case(line, now, out);
        } else if (!line.starts_with("#")) {
            now.source += trimmed(line) + "\n";
        }
    }
    return out;
}

} // namespace

const std::vector<Vector>& vectors() {
    static const std::vector<Vector> kVectors = read_vectors();
    return kVectors;
}

std::optional<Object> assemble_vector(const Vector& vector) {
    AsmOptions options;
    options.origin = "vectors.txt";
    auto object = assemble("main:\n" + vector.source, options);
    if (!object) {
        ADD_FAILURE() << vector.name() << ": " << object.error().message() << "\n" << object.error().log;
        return std::nullopt;
    }
    return std::move(*object);
}

} // namespace mimicsh::test
