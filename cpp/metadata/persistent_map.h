// An ordered map whose copies share structure: a copy costs one pointer, a change costs the path to
// the changed key, and that only while a copy still holds it. It carries the ClusterImage, of which
// every broker publishes one immutable version after another. An AVL tree; not for other threads
// while it is being changed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace pabal::metadata {

template <class Key, class Value, class Less = std::less<>>
class PersistentMap {
    struct Node;
    using NodePointer = std::shared_ptr<Node>;
    struct Node {
        std::pair<const Key, Value> entry;
        int height = 1;
        NodePointer left, right;
    };

public:
    class Iterator {
    public:
        using value_type = std::pair<const Key, Value>;
        using difference_type = std::ptrdiff_t;
        Iterator() = default;
        const value_type& operator*() const { return path_.back()->entry; }
        const value_type* operator->() const { return &path_.back()->entry; }
        Iterator& operator++() {
            const Node* node = path_.back();
            path_.pop_back();
            descend(node->right.get());
            return *this;
        }
        bool operator==(const Iterator& other) const {
            if (path_.empty() || other.path_.empty()) return path_.empty() == other.path_.empty();
            return path_.back() == other.path_.back();
        }

    private:
        friend class PersistentMap;
        void descend(const Node* node) {
            for (; node; node = node->left.get()) path_.push_back(node);
        }
        std::vector<const Node*> path_;  // Nodes still to be visited, the next one last.
    };

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    Iterator begin() const {
        Iterator iterator;
        iterator.descend(root_.get());
        return iterator;
    }
    Iterator end() const { return {}; }
    // The first entry whose key is not less than `key`.
    template <class Lookup>
    Iterator lower_bound(const Lookup& key) const {
        Iterator iterator;
        for (const Node* node = root_.get(); node;) {
            if (less_(node->entry.first, key)) {
                node = node->right.get();
            } else {
                iterator.path_.push_back(node);
                node = node->left.get();
            }
        }
        return iterator;
    }

    // Valid until the map changes.
    template <class Lookup>
    const Value* find(const Lookup& key) const {
        for (const Node* node = root_.get(); node;) {
            if (less_(key, node->entry.first)) {
                node = node->left.get();
            } else if (less_(node->entry.first, key)) {
                node = node->right.get();
            } else {
                return &node->entry.second;
            }
        }
        return nullptr;
    }
    template <class Lookup>
    bool contains(const Lookup& key) const {
        return find(key) != nullptr;
    }

    // The value to be changed in place, unseen by copies of the map; null if the key is missing.
    template <class Lookup>
    Value* edit(const Lookup& key) {
        if (!find(key)) return nullptr;
        for (NodePointer* slot = &root_;;) {
            Node& node = own(*slot);
            if (less_(key, node.entry.first)) {
                slot = &node.left;
            } else if (less_(node.entry.first, key)) {
                slot = &node.right;
            } else {
                return &node.entry.second;
            }
        }
    }
    void insert_or_assign(Key key, Value value) { insert(root_, std::move(key), std::move(value)); }
    template <class Lookup>
    bool erase(const Lookup& key) {
        if (!find(key)) return false;
        remove(root_, key);
        --size_;
        return true;
    }
    void clear() {
        root_ = nullptr;
        size_ = 0;
    }

private:
    static int height(const NodePointer& node) { return node ? node->height : 0; }
    static void measure(Node& node) {
        node.height = 1 + std::max(height(node.left), height(node.right));
    }
    // The node itself if nobody else holds it, else a copy in its place.
    static Node& own(NodePointer& slot) {
        if (slot.use_count() > 1) slot = std::make_shared<Node>(*slot);
        return *slot;
    }
    static void rotate_right(NodePointer& slot) {
        NodePointer top = std::move(slot);
        slot = std::move(top->left);
        own(slot);
        top->left = std::move(slot->right);
        measure(*top);
        slot->right = std::move(top);
        measure(*slot);
    }
    static void rotate_left(NodePointer& slot) {
        NodePointer top = std::move(slot);
        slot = std::move(top->right);
        own(slot);
        top->right = std::move(slot->left);
        measure(*top);
        slot->left = std::move(top);
        measure(*slot);
    }
    // `slot` is owned and its subtrees differ by at most two.
    static void balance(NodePointer& slot) {
        Node& node = *slot;
        int lean = height(node.left) - height(node.right);
        if (lean > 1) {
            own(node.left);
            if (height(node.left->left) < height(node.left->right)) {
                own(node.left->right);
                rotate_left(node.left);
            }
            rotate_right(slot);
        } else if (lean < -1) {
            own(node.right);
            if (height(node.right->right) < height(node.right->left)) {
                own(node.right->left);
                rotate_right(node.right);
            }
            rotate_left(slot);
        } else {
            measure(node);
        }
    }
    void insert(NodePointer& slot, Key&& key, Value&& value) {
        if (!slot) {
            slot = std::make_shared<Node>(
                Node{{std::move(key), std::move(value)}, 1, nullptr, nullptr});
            ++size_;
            return;
        }
        Node& node = own(slot);
        if (less_(key, node.entry.first)) {
            insert(node.left, std::move(key), std::move(value));
        } else if (less_(node.entry.first, key)) {
            insert(node.right, std::move(key), std::move(value));
        } else {
            node.entry.second = std::move(value);
            return;
        }
        balance(slot);
    }
    template <class Lookup>
    void remove(NodePointer& slot, const Lookup& key) {
        Node& node = own(slot);
        if (less_(key, node.entry.first)) {
            remove(node.left, key);
        } else if (less_(node.entry.first, key)) {
            remove(node.right, key);
        } else if (!node.left || !node.right) {
            NodePointer child = node.left ? std::move(node.left) : std::move(node.right);
            slot = std::move(child);
            return;
        } else {
            NodePointer right = std::move(node.right);
            NodePointer first = take_first(right);
            first->left = std::move(node.left);
            first->right = std::move(right);
            slot = std::move(first);
        }
        balance(slot);
    }
    // Unlinks the leftmost node of `slot`; the caller owns it alone.
    static NodePointer take_first(NodePointer& slot) {
        Node& node = own(slot);
        if (!node.left) {
            NodePointer first = std::move(slot);
            slot = std::move(first->right);
            return first;
        }
        NodePointer first = take_first(node.left);
        balance(slot);
        return first;
    }

    NodePointer root_;
    std::size_t size_ = 0;
    [[no_unique_address]] Less less_;
};

}  // namespace pabal::metadata
