// Tensors cut into pieces of work that fit the second-level cache.
#ifndef SECATEUR_CORE_CHUNKS_H_
#define SECATEUR_CORE_CHUNKS_H_

#include <cstdint>
#include <vector>

#include "secateur/tensor.h"

namespace secateur {

inline constexpr int64_t kChunkBytes = int64_t{512} << 10;

struct Chunk {
  int tensor;
  const Source* source;
  int64_t offset;  // in the source, bytes
  int64_t first;   // index of the first element inside the tensor
  int64_t count;   // elements
};

// In order of tensor, then of index.
std::vector<Chunk> MakeChunks(const std::vector<Tensor>& tensors);

int64_t TotalBytes(const std::vector<Tensor>& tensors);

}  // namespace secateur

#endif  // SECATEUR_CORE_CHUNKS_H_
