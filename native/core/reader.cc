// What readers have in common: a look at single elements, where counting has told which stretch.
#include "core/reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/elements.h"
#include "secateur/error.h"

namespace secateur {
namespace {

// Counted a block at a time, then weight by weight.
template <class Key>
int64_t CutAmongKeys(const Kernels<Key>& kernels, const std::byte* elements, int64_t count,
                     Key begin, Key end, int64_t kept) {
  constexpr int64_t kBlock = 4096;
  constexpr auto kKeyBytes = static_cast<int64_t>(sizeof(Key));
  const std::array<Key, 2> bounds = {begin, end};
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t size = std::min(kBlock, count - first);
    std::array<int64_t, 2> at_least = {0, 0};
    const std::byte* block = elements + first * kKeyBytes;
    kernels.classify(block, size, {bounds.data(), 2, 0}, at_least.data(), nullptr);
    const int64_t ties = at_least[0] - at_least[1];
    if (kept > ties) {
      kept -= ties;
      continue;
    }
    for (int64_t i = 0; i < size; ++i) {
      Key key;
      std::memcpy(&key, block + i * kKeyBytes, sizeof(Key));
      key &= static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);
      if (key >= begin && key < end && --kept == 0) return first + i + 1;
    }
  }
  ThrowChanged();
}

}  // namespace

int64_t CutAmong(const Backend& backend, DType dtype, const std::byte* elements, int64_t count,
                 uint64_t begin, uint64_t end, int64_t kept) {
  return WithKeyType(ElementBytes(dtype), [&](auto type) {
    using Key = decltype(type);
    return CutAmongKeys<Key>(backend.For<Key>(), elements, count, static_cast<Key>(begin),
                             static_cast<Key>(end), kept);
  });
}

void ThrowIfNonfiniteIn(const Tensor& tensor, int64_t first, const std::byte* elements,
                        int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = KeyAt(tensor.dtype, elements, i);
    if (key >= InfinityKey(tensor.dtype)) ThrowNonfiniteAt(tensor, first + i, key);
  }
}

void ThrowChanged() {
  throw Error("FILE_CHANGED", "The weights changed while they were read; nothing was written");
}

}  // namespace secateur
