// Keys kept in memory: what a sample or a pass has put aside, itself a tensor that can be selected
// from.
#ifndef SECATEUR_CORE_KEY_BUFFER_H_
#define SECATEUR_CORE_KEY_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace secateur {

// Uninitialised bytes: writing zeros first would cost a pass of its own. Large ones ask for huge
// pages, since faulting in small ones took half as long as filling them.
class KeyBuffer {
 public:
  explicit KeyBuffer(int64_t bytes);
  std::byte* data() const { return bytes_.get(); }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
};

// Calls body with a value of the unsigned type that holds keys of `bytes` bytes.
template <class Body>
decltype(auto) WithKeyType(int64_t bytes, const Body& body) {
  if (bytes == 2) return body(uint16_t{});
  if (bytes == 4) return body(uint32_t{});
  return body(uint64_t{});
}

}  // namespace secateur

#endif  // SECATEUR_CORE_KEY_BUFFER_H_
