// The one exception of the library: a stable code, one sentence, and the facts for programs.
// Public entry points validate and throw it; kernels are noexcept.
#ifndef SECATEUR_ERROR_H_
#define SECATEUR_ERROR_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace secateur {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}

  const std::string& code() const { return code_; }
  const std::string& path() const { return path_; }
  const std::string& tensor() const { return tensor_; }
  const std::string& errno_name() const { return errno_name_; }
  int64_t index() const { return index_; }  // -1: not about an element

  Error&& WithPath(std::string path) && {
    path_ = std::move(path);
    return std::move(*this);
  }
  Error&& WithElement(std::string tensor, int64_t index) && {
    tensor_ = std::move(tensor);
    index_ = index;
    return std::move(*this);
  }
  Error&& WithErrno(std::string name) && {
    errno_name_ = std::move(name);
    return std::move(*this);
  }

 private:
  std::string code_;
  std::string path_;
  std::string tensor_;
  std::string errno_name_;
  int64_t index_ = -1;
};

}  // namespace secateur

#endif  // SECATEUR_ERROR_H_
