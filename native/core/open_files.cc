#include "core/open_files.h"

#include "core/varint.h"

namespace secateur {
namespace {

void CheckRange(const std::vector<FileSourceSpec>& specs, const FileRange& range) {
  const bool known = range.source >= 0 && static_cast<size_t>(range.source) < specs.size();
  if (!known || range.offset < 0 || range.bytes < 0 ||
      range.offset > specs[range.source].size - range.bytes) {
    throw Error("INTERNAL", "A byte range of the plan lies outside its file");
  }
}

void CheckCount(const Tensor& tensor) {
  int64_t bytes = 0;
  for (const Run& run : tensor.runs) bytes += run.bytes;
  if (bytes == tensor.count * ElementBytes(tensor.dtype)) return;
  throw Error("INVALID_MODEL", "Expected " + std::to_string(tensor.count) +
                                   " weights in tensor \"" + tensor.name + "\", got " +
                                   std::to_string(bytes / ElementBytes(tensor.dtype)))
      .WithElement(tensor.name, -1);
}

}  // namespace

OpenFiles::OpenFiles(const std::vector<FileSourceSpec>& specs,
                     const std::vector<FileTensor>& tensors) {
  for (const FileSourceSpec& spec : specs) sources_.emplace_back(spec.path, spec.size);
  for (const FileTensor& tensor : tensors) {
    tensors_.push_back({tensor.name, tensor.dtype, tensor.factor, tensor.count, {}});
    encoded_.emplace_back();
    for (const FileRange& range : tensor.runs) {
      CheckRange(specs, range);
      if (tensor.encoding == Encoding::kFlat) {
        tensors_.back().runs.push_back({&sources_[range.source], range.offset, range.bytes});
      } else {
        Decode(range);
      }
    }
    CheckCount(tensors_.back());
  }
}

void OpenFiles::CheckUnchanged() const {
  for (const FileSource& source : sources_) source.CheckUnchanged();
}

void OpenFiles::Decode(const FileRange& range) {
  std::vector<std::byte>& bytes = encoded_.back().emplace_back(static_cast<size_t>(range.bytes));
  sources_[range.source].Read(range.offset, range.bytes, bytes.data());
  std::vector<uint16_t>& values = decoded_.emplace_back();
  if (!DecodeVarints(bytes, values)) {
    throw Error("INVALID_MODEL",
                "Expected whole varints as weights of tensor \"" + tensors_.back().name + "\"");
  }
  const MemorySource& memory = memory_.emplace_back(reinterpret_cast<std::byte*>(values.data()));
  const auto size = static_cast<int64_t>(values.size() * sizeof(uint16_t));
  tensors_.back().runs.push_back({&memory, 0, size});
}

}  // namespace secateur
