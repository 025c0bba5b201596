// Kernels of every backend against plain loops: all small sizes, misalignment, guard zones around
// what is written.
#include "secateur/backend.h"

#include <cstring>
#include <random>

#include "test.h"

namespace secateur::test {
namespace {

constexpr uint8_t kGuard = 0xa5;

template <class Key>
constexpr Key kKeyMask = static_cast<Key>(static_cast<Key>(~Key{0}) >> 1);

template <class Key>
std::vector<Key> RandomBits(int64_t count, std::mt19937_64& random) {
  std::vector<Key> bits(count);
  for (Key& value : bits) {
    value = static_cast<Key>(random());
    if (random() % 4 == 0)
      value &= static_cast<Key>(Key{0xf} << (sizeof(Key) * 8 - 4));  // some equal ones
  }
  return bits;
}

template <class Key>
std::vector<Key> RandomBounds(int count, bool coarse, std::mt19937_64& random) {
  std::vector<Key> bounds(count);
  for (Key& bound : bounds) {
    bound = static_cast<Key>(random()) & kKeyMask<Key>;
    if (coarse && sizeof(Key) == 4) bound &= static_cast<Key>(~uint64_t{0xffff});
  }
  std::sort(bounds.begin(), bounds.end());
  return bounds;
}

template <class Key>
void CheckClassify(const Kernels<Key>& kernels, const std::vector<Key>& bits, int bound_count,
                   bool coarse, std::mt19937_64& random) {
  const auto count = static_cast<int64_t>(bits.size());
  std::vector<Key> bounds = RandomBounds<Key>(bound_count, coarse, random);
  const auto edges = static_cast<uint32_t>(random() & ((uint64_t{1} << bound_count) - 1));
  std::vector<int64_t> expected(bound_count, 5);
  std::vector<Key> expected_stored;
  for (Key value : bits) {
    bool store = false;
    for (int j = 0; j < bound_count; ++j) {
      const bool above = (value & kKeyMask<Key>) >= bounds[j];
      expected[j] += above;
      store ^= above && ((edges >> j) & 1);
    }
    if (store) expected_stored.push_back(value & kKeyMask<Key>);
  }
  for (size_t shift : {size_t{0}, size_t{1}, size_t{7}}) {
    std::vector<std::byte> unaligned(count * sizeof(Key) + shift);
    if (count > 0) std::memcpy(unaligned.data() + shift, bits.data(), count * sizeof(Key));
    std::vector<int64_t> at_least(bound_count, 5);
    std::vector<Key> stored(expected_stored.size() + kStoreSlack + 8);
    std::memset(stored.data() + expected_stored.size() + kStoreSlack, kGuard, 8 * sizeof(Key));
    const Classification<Key> classes{bounds.data(), bound_count, edges};
    const int64_t kept =
        kernels.classify(unaligned.data() + shift, count, classes, at_least.data(), stored.data());
    EXPECT(at_least == expected);
    EXPECT_EQ(kept, static_cast<int64_t>(expected_stored.size()));
    EXPECT(std::equal(expected_stored.begin(), expected_stored.end(), stored.begin()));
    const auto* guard =
        reinterpret_cast<const uint8_t*>(stored.data() + expected_stored.size() + kStoreSlack);
    EXPECT(
        std::all_of(guard, guard + 8 * sizeof(Key), [](uint8_t byte) { return byte == kGuard; }));
    std::vector<int64_t> counted(bound_count, 5);
    kernels.classify(unaligned.data() + shift, count, classes, counted.data(), nullptr);
    EXPECT(counted == expected);
  }
}

template <class Key>
void CheckMask(const Kernels<Key>& kernels, const std::vector<Key>& bits, std::mt19937_64& random) {
  const size_t bytes = bits.size() * sizeof(Key);
  for (const Key bound :
       {Key{0}, Key{1}, static_cast<Key>(random() & kKeyMask<Key>), kKeyMask<Key>}) {
    std::vector<Key> expected = bits;
    int64_t zeros = 0;
    for (Key& value : expected) {
      if ((value & kKeyMask<Key>) < bound) value = 0;
      zeros += (value & kKeyMask<Key>) == 0;
    }
    std::vector<uint8_t> out(bytes + 6, kGuard);
    EXPECT_EQ(kernels.mask(bits.data(), out.data() + 3, static_cast<int64_t>(bits.size()), bound),
              zeros);
    EXPECT(bytes == 0 || std::memcmp(out.data() + 3, expected.data(), bytes) == 0);
    for (size_t i : {size_t{0}, size_t{1}, size_t{2}, bytes + 3, bytes + 4, bytes + 5})
      EXPECT_EQ(out[i], kGuard);
    std::vector<Key> in_place = bits;
    EXPECT_EQ(
        kernels.mask(in_place.data(), in_place.data(), static_cast<int64_t>(bits.size()), bound),
        zeros);
    EXPECT(in_place == expected);
  }
}

template <class Key>
void CheckPack(const Kernels<Key>& kernels, const std::vector<Key>& bits, std::mt19937_64& random) {
  const auto count = static_cast<int64_t>(bits.size()) / 64 * 64;
  const Key bound = static_cast<Key>(random()) & kKeyMask<Key>;
  std::vector<uint8_t> packed(count / 8 + 2, kGuard);
  kernels.pack(bits.data(), packed.data() + 1, count, bound);
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_EQ((packed[1 + i / 8] >> (i % 8)) & 1, (bits[i] & kKeyMask<Key>) >= bound ? 1 : 0);
  }
  EXPECT(packed.front() == kGuard && packed.back() == kGuard);
  std::vector<Key> some(bits.begin(), bits.begin() + count);
  for (Key& value : some) {
    if (random() % 2) value = random() % 4 ? Key{0} : static_cast<Key>(~kKeyMask<Key>);  // 0, -0
  }
  kernels.nonzeros(some.data(), packed.data() + 1, count);
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_EQ((packed[1 + i / 8] >> (i % 8)) & 1, some[i] != 0 ? 1 : 0);
  }
  EXPECT(packed.front() == kGuard && packed.back() == kGuard);
}

template <class Key>
void CheckAll(const Backend& backend) {
  std::mt19937_64 random(42);
  const Kernels<Key>& kernels = backend.For<Key>();
  for (int64_t count = 0; count < 1024; count += count < 140 ? 1 : 29) {
    Context() = std::string(backend.name) + " width=" + std::to_string(sizeof(Key)) +
                " n=" + std::to_string(count);
    const std::vector<Key> bits = RandomBits<Key>(count, random);
    CheckMask(kernels, bits, random);
    CheckPack(kernels, bits, random);
    for (int bounds : {1, 2, 3, 4, 5, 6, 7, 13, 19, kMaxBounds}) {
      CheckClassify(kernels, bits, bounds, false, random);
      CheckClassify(kernels, bits, bounds, true, random);
    }
  }
  const std::vector<Key> large = RandomBits<Key>(300007, random);
  Context() = std::string(backend.name) + " large";
  CheckClassify(kernels, large, 3, false, random);
  CheckClassify(kernels, large, kMaxBounds, true, random);
}

TEST(Kernels16) {
  for (const Backend* backend : SupportedBackends()) CheckAll<uint16_t>(*backend);
}
TEST(Kernels32) {
  for (const Backend* backend : SupportedBackends()) CheckAll<uint32_t>(*backend);
}
TEST(Kernels64) {
  for (const Backend* backend : SupportedBackends()) CheckAll<uint64_t>(*backend);
}

TEST(ReadDependsOnEveryByte) {
  for (const Backend* backend : SupportedBackends()) {
    std::vector<uint32_t> data(1000, 3);
    const uint32_t before = backend->kernels32.read(data.data(), 1000);
    data[777] ^= 0x100;
    EXPECT(backend->kernels32.read(data.data(), 1000) != before);
  }
}

TEST(PortableIsAlwaysThere) { EXPECT(SupportedBackends().back()->name == "portable"); }

// The environment may force a backend (the test runner does); it must then be the active one.
TEST(ForcedBackendIsActive) {
  const char* forced = std::getenv("SECATEUR_FORCE_BACKEND");
  const bool is_forced = forced != nullptr && *forced != '\0';
  EXPECT(is_forced ? ActiveBackend().name == forced
                   : &ActiveBackend() == SupportedBackends().front());
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
