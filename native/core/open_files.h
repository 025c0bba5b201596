// Open source files, and the tensors in them as selection wants them.
#ifndef SECATEUR_CORE_OPEN_FILES_H_
#define SECATEUR_CORE_OPEN_FILES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/file.h"
#include "secateur/prune_files.h"

namespace secateur {

// Varint tensors are decoded into memory.
class OpenFiles {
 public:
  // Throws IO, FILE_CHANGED, INVALID_MODEL, and INTERNAL for ranges that lie outside their file.
  OpenFiles(const std::vector<FileSourceSpec>& specs, const std::vector<FileTensor>& tensors);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  const FileSource& source(int index) const { return sources_[index]; }
  // The bytes of a varint tensor's run.
  std::vector<std::byte>& encoded(int tensor, size_t run) { return encoded_[tensor][run]; }

  // Throws FILE_CHANGED.
  void CheckUnchanged() const;

 private:
  void Decode(const FileRange& range);

  std::deque<FileSource> sources_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<std::vector<std::byte>>> encoded_;  // [tensor][run], of varint tensors
  std::deque<std::vector<uint16_t>> decoded_;
  std::deque<MemorySource> memory_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_OPEN_FILES_H_
