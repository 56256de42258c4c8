// SPDX-License-Identifier: MIT
// Red-black trees of allocated objects: balanced as the kernel balances them (lib/rbtree.c), since programs
// can look at their shape.
#include <cerrno>
#include <utility>

#include "vm/helpers/helpers.h"
#include "vm/kfuncs/graph.h"
#include "vm/kfuncs/kfuncs.h"

namespace mimicsh::vm {

namespace {

using Kind = HiddenField::Kind;

/// Of a node: parent and colour 0, right child 8, left child 16, owner 24; of a root: the topmost node.
class Tree {
  public:
    Tree(Machine& machine, const Place& root) : machine_(machine), root_(root) {}

    [[nodiscard]] uint64_t top() const { return mimicsh::load<uint64_t>(root_.bytes); }
    [[nodiscard]] uint64_t owner(uint64_t node) const { return word(node, 24); }
    [[nodiscard]] uint64_t child(uint64_t node, bool left) const { return word(node, left ? 16 : 8); }
    [[nodiscard]] uint64_t leftmost() const {
        uint64_t node = top();
        while (node != 0 && child(node, true) != 0) {
            node = child(node, true);
        }
        return node;
    }

    void insert(uint64_t node, uint64_t under, bool left) {
        ++machine_.heap.tree_changes;
        put(node, 0, under);
        put(node, 8, 0);
        put(node, 16, 0);
        put(node, 24, root_.name);
        if (under == 0) {
            set_top(node);
        } else {
            set_child(under, left, node);
        }
        balance_insert(node);
    }

    void erase(uint64_t node) {
        ++machine_.heap.tree_changes;
        const uint64_t left = child(node, true);
        const uint64_t right = child(node, false);
        uint64_t unbalanced = 0;
        if (left == 0 || right == 0) {
            const uint64_t only = left != 0 ? left : right;
            const uint64_t above = parent(node);
            replace(node, only);
            if (only != 0) {
                set_parent(only, above, is_black(node));
            } else if (is_black(node)) {
                unbalanced = above;
            }
        } else {
            unbalanced = replace_by_successor(node, left, right);
        }
        put(node, 24, 0);
        if (unbalanced != 0) {
            balance_erase(unbalanced);
        }
    }

  private:
    static constexpr uint64_t kBlack = uint64_t{1} << 62;

    [[nodiscard]] uint64_t word(uint64_t node, size_t at) const {
        return mimicsh::load<uint64_t>(node_bytes(machine_, node) + at);
    }
    void put(uint64_t node, size_t at, uint64_t value) {
        put_word(node_bytes(machine_, node) + at, value, &machine_.journal);
    }
    [[nodiscard]] uint64_t parent(uint64_t node) const { return word(node, 0) & ~kBlack; }
    [[nodiscard]] bool is_black(uint64_t node) const { return node == 0 || (word(node, 0) & kBlack) != 0; }
    void set_parent(uint64_t node, uint64_t above, bool black) { put(node, 0, above | (black ? kBlack : 0)); }
    void paint(uint64_t node, bool black) { set_parent(node, parent(node), black); }
    void set_child(uint64_t node, bool left, uint64_t below) { put(node, left ? 16 : 8, below); }
    void set_top(uint64_t node) { put_word(root_.bytes, node, &machine_.journal); }

    /// Puts another node, or none, where this one hangs; parent links are the caller's.
    void replace(uint64_t node, uint64_t by) {
        const uint64_t above = parent(node);
        if (above == 0) {
            set_top(by);
        } else {
            set_child(above, child(above, true) == node, by);
        }
    }

    /// Moves a node down to that side; its other child takes its place.
    void rotate(uint64_t node, bool to_left) {
        const uint64_t up = child(node, !to_left);
        const uint64_t inner = child(up, to_left);
        replace(node, up);
        set_parent(up, parent(node), is_black(up));
        set_child(node, !to_left, inner);
        if (inner != 0) {
            set_parent(inner, node, is_black(inner));
        }
        set_child(up, to_left, node);
        set_parent(node, up, is_black(node));
    }

    void balance_insert(uint64_t node) {
        while (parent(node) != 0 && !is_black(parent(node))) {
            uint64_t above = parent(node);
            const uint64_t grand = parent(above);
            const bool left = child(grand, true) == above;
            const uint64_t uncle = child(grand, !left);
            if (!is_black(uncle)) {
                paint(above, true);
                paint(uncle, true);
                paint(grand, false);
                node = grand;
                continue;
            }
            if (child(above, !left) == node) {
                rotate(above, left);
                above = node;
            }
            paint(above, true);
            paint(grand, false);
            rotate(grand, !left);
            break;
        }
        paint(top(), true);
    }

    /// Gives the node below which a black one is missing, 0 = none.
    uint64_t replace_by_successor(uint64_t node, uint64_t left, uint64_t right) {
        uint64_t next = right;
        while (child(next, true) != 0) {
            next = child(next, true);
        }
        const uint64_t orphan = child(next, false);
        const bool next_is_black = is_black(next);
        uint64_t above = parent(next);
        if (above == node) {
            above = next;
        } else {
            set_child(above, true, orphan);
            set_child(next, false, right);
            set_parent(right, next, is_black(right));
        }
        set_child(next, true, left);
        set_parent(left, next, is_black(left));
        replace(node, next);
        set_parent(next, parent(node), is_black(node));
        if (orphan != 0) {
            set_parent(orphan, above, true);
            return 0;
        }
        return next_is_black ? above : 0;
    }

    /// Below `above` one side is a black node short; first it is the side without a child.
    void balance_erase(uint64_t above) {
        uint64_t node = 0;
        while (true) {
            const bool left = child(above, true) == node;
            uint64_t sibling = child(above, !left);
            if (!is_black(sibling)) {
                paint(sibling, true);
                paint(above, false);
                rotate(above, left);
                sibling = child(above, !left);
            }
            if (is_black(child(sibling, !left))) {
                const uint64_t near = child(sibling, left);
                if (is_black(near)) {
                    paint(sibling, false);
                    if (!is_black(above)) {
                        paint(above, true);
                        return;
                    }
                    node = above;
                    above = parent(node);
                    if (above == 0) {
                        return;
                    }
                    continue;
                }
                paint(near, true);
                paint(sibling, false);
                rotate(sibling, !left);
                sibling = near;
            }
            paint(sibling, is_black(above));
            paint(above, true);
            paint(child(sibling, !left), true);
            rotate(above, left);
            return;
        }
    }

    Machine& machine_;
    const Place& root_;
};

uint64_t shown(Machine& machine, uint64_t ref) {
    return ref == 0 ? 0 : node_address(machine, ref);
}

/// A child of a node of the tree.
uint64_t child_of(Machine& machine, const uint64_t* args, bool left, const char* function) {
    const Place root = locked_place_at(machine, args[0], Kind::RbRoot, function);
    const Node node = root.bytes == nullptr ? Node{} : node_at(machine, args[1], Kind::RbNode, function);
    if (node.object == 0) {
        return 0;
    }
    const Tree tree(machine, root);
    return tree.owner(node.ref()) != root.name ? 0 : shown(machine, tree.child(node.ref(), left));
}

} // namespace

uint64_t kfunc_rbtree_add(Machine& machine, const uint64_t* args) {
    constexpr const char* kName = "bpf_rbtree_add_impl";
    const Place root = locked_place_at(machine, args[0], Kind::RbRoot, kName);
    const Node node = root.bytes == nullptr ? Node{} : node_at(machine, args[1], Kind::RbNode, kName);
    if (node.object == 0 || !take_from_program(machine, node.object, kName)) {
        return 0;
    }
    Tree tree(machine, root);
    if (tree.owner(node.ref()) != 0) {
        drop_object(machine, node.object, &machine.journal);
        return errno_result(-EINVAL);
    }
    const uint64_t less = args[2];
    const uint64_t added = args[1];
    const uint64_t changes = machine.heap.tree_changes;
    uint64_t under = 0;
    bool left = false;
    for (uint64_t at = tree.top(); at != 0; at = tree.child(at, left)) {
        under = at;
        const auto result = machine.call_back(less, {added, node_address(machine, at), 0, 0, 0}, kName);
        if (!result) {
            return 0;
        }
        if (machine.heap.tree_changes != changes) {
            return machine.fault(FaultKind::BadCall, std::string(kName) + ": the comparison changed a tree",
                                 "the kernel lets it only compare");
        }
        left = *result != 0;
    }
    tree.insert(node.ref(), under, left);
    return 0;
}

uint64_t kfunc_rbtree_remove(Machine& machine, const uint64_t* args) {
    constexpr const char* kName = "bpf_rbtree_remove";
    const Place root = locked_place_at(machine, args[0], Kind::RbRoot, kName);
    const Node node = root.bytes == nullptr ? Node{} : node_at(machine, args[1], Kind::RbNode, kName);
    if (node.object == 0) {
        return 0;
    }
    Tree tree(machine, root);
    if (tree.owner(node.ref()) != root.name) {
        return 0;
    }
    tree.erase(node.ref());
    give_to_program(machine, node.object);
    return node_address(machine, node.ref());
}

uint64_t kfunc_rbtree_first(Machine& machine, const uint64_t* args) {
    const Place root = locked_place_at(machine, args[0], Kind::RbRoot, "bpf_rbtree_first");
    return root.bytes == nullptr ? 0 : shown(machine, Tree(machine, root).leftmost());
}

uint64_t kfunc_rbtree_root(Machine& machine, const uint64_t* args) {
    const Place root = locked_place_at(machine, args[0], Kind::RbRoot, "bpf_rbtree_root");
    return root.bytes == nullptr ? 0 : shown(machine, Tree(machine, root).top());
}

uint64_t kfunc_rbtree_left(Machine& machine, const uint64_t* args) {
    return child_of(machine, args, true, "bpf_rbtree_left");
}

uint64_t kfunc_rbtree_right(Machine& machine, const uint64_t* args) {
    return child_of(machine, args, false, "bpf_rbtree_right");
}

} // namespace mimicsh::vm
