#include "io/store.h"

namespace pabal::io {

void StoreBatch::put(std::string key, std::string value) {
    operations_.push_back({Kind::put, std::move(key), std::move(value)});
}

void StoreBatch::remove(std::string key) {
    operations_.push_back({Kind::remove, std::move(key), {}});
}

void StoreBatch::remove_range(std::string first, std::string last) {
    operations_.push_back({Kind::remove_range, std::move(first), std::move(last)});
}

}  // namespace pabal::io
