// Files as sources, and outputs that appear whole or not at all. POSIX.
#ifndef SECATEUR_CORE_FILE_H_
#define SECATEUR_CORE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>

#include "secateur/error.h"
#include "secateur/tensor.h"

namespace secateur {

// IO with errno's name, in the grammar "Could not <action> <path>: <reason>".
[[noreturn]] void ThrowIo(const std::string& action, const std::string& path, int error);

// A regular file, open for reading.
class FileSource final : public Source {
 public:
  // Throws IO, or FILE_CHANGED when its size is not `expected_size`.
  FileSource(const std::string& path, int64_t expected_size);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  const std::byte* Read(int64_t offset, int64_t bytes, std::byte* scratch) const override;

  // Throws FILE_CHANGED when size or modification time differ from when the file was opened.
  void CheckUnchanged() const;

 private:
  std::string path_;
  int descriptor_;
  int64_t size_;
  timespec modified_;
};

// Written under a temporary name in the folder of `path`; removed again unless it was committed.
class OutputFile {
 public:
  // Reserves the space where the file system can, so that a full disk is known before any work.
  OutputFile(const std::string& path, int64_t size);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Any number of threads may write and read at once.
  void Write(int64_t offset, const std::byte* data, int64_t bytes) const;
  void ReadBack(int64_t offset, std::byte* data, int64_t bytes) const;

  // Atomic: the old file stays until the new one has its name.
  void Commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_FILE_H_
