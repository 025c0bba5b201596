// Where weights come from: tensors are lists of byte runs in sources, so that a selection reads
// memory and files alike and nothing is ever concatenated.
#ifndef SECATEUR_TENSOR_H_
#define SECATEUR_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "secateur/dtype.h"

namespace secateur {

// Random access to bytes. Read may be called from any number of threads at once.
class Source {
 public:
  virtual ~Source() = default;

  // The bytes [offset, offset + bytes): either memory of the source's own, or `scratch` after
  // filling it. Throws Error when they can't be had (FILE_CHANGED, IO).
  virtual const std::byte* Read(int64_t offset, int64_t bytes, std::byte* scratch) const = 0;
};

// Memory of the caller's, which must outlive the source. `writable` says whether masks may be
// applied to it.
class MemorySource final : public Source {
 public:
  explicit MemorySource(std::byte* data) : data_(data) {}
  const std::byte* Read(int64_t offset, int64_t, std::byte*) const override {
    return data_ + offset;
  }
  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
};

struct Run {
  const Source* source;
  int64_t offset;
  int64_t bytes;  // a multiple of the element size
};

struct Tensor {
  std::string name;  // for messages
  DType dtype = DType::kFloat32;
  double factor = 1;      // multiplies the magnitude before it is ranked; finite and > 0
  int64_t count = 0;      // elements, little-endian; may exceed 2^32
  std::vector<Run> runs;  // together `count` elements, in order
};

}  // namespace secateur

#endif  // SECATEUR_TENSOR_H_
