#include "core/varint.h"

#include <algorithm>

namespace secateur {
namespace {

constexpr auto kMore = std::byte{0x80};

}  // namespace

bool DecodeVarints(const std::vector<std::byte>& bytes, std::vector<uint16_t>& values) {
  uint64_t value = 0;
  int length = 0;
  for (const std::byte byte : bytes) {
    if (length == 10) return false;
    if (length < 3) value |= static_cast<uint64_t>(byte & ~kMore) << (7 * length);
    ++length;
    if ((byte & kMore) != std::byte{0}) continue;
    values.push_back(static_cast<uint16_t>(value));
    value = 0;
    length = 0;
  }
  return length == 0;
}

void ZeroVarints(std::vector<std::byte>& bytes, const std::function<bool(int64_t)>& kept) {
  int64_t index = 0;
  for (auto begin = bytes.begin(); begin != bytes.end(); ++index) {
    const auto last = std::find_if(begin, bytes.end(),
                                   [](std::byte byte) { return (byte & kMore) == std::byte{0}; });
    if (!kept(index)) {
      std::fill(begin, last, kMore);
      *last = std::byte{0};
    }
    begin = last + 1;
  }
}

}  // namespace secateur
