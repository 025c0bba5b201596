// Weights that a protobuf stores as varints (float16 and bfloat16 in `int32_data`): read into
// 16-bit patterns, and zeroed without changing a length.
#ifndef SECATEUR_CORE_VARINT_H_
#define SECATEUR_CORE_VARINT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace secateur {

// The low 16 bits of each varint. Returns false when the bytes are not whole varints of at most ten
// bytes.
bool DecodeVarints(const std::vector<std::byte>& bytes, std::vector<uint16_t>& values);

// Overwrites the varints whose index `kept` denies with zeros of the same length (0x80 ... 0x00),
// which every protobuf reader takes for 0.
void ZeroVarints(std::vector<std::byte>& bytes, const std::function<bool(int64_t)>& kept);

}  // namespace secateur

#endif  // SECATEUR_CORE_VARINT_H_
