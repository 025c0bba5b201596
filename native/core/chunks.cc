#include "core/chunks.h"

#include <algorithm>

namespace secateur {

std::vector<Chunk> MakeChunks(const std::vector<Tensor>& tensors) {
  std::vector<Chunk> chunks;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const int64_t element = ElementBytes(tensors[t].dtype);
    int64_t first = 0;
    for (const Run& run : tensors[t].runs) {
      for (int64_t done = 0; done < run.bytes; done += kChunkBytes) {
        const int64_t count = std::min(kChunkBytes, run.bytes - done) / element;
        chunks.push_back({static_cast<int>(t), run.source, run.offset + done, first, count});
        first += count;
      }
    }
  }
  return chunks;
}

int64_t TotalBytes(const std::vector<Tensor>& tensors) {
  int64_t bytes = 0;
  for (const Tensor& tensor : tensors) bytes += tensor.count * ElementBytes(tensor.dtype);
  return bytes;
}

}  // namespace secateur
