// Reading elements of a tensor by index, across its runs.
#ifndef SECATEUR_CORE_ELEMENTS_H_
#define SECATEUR_CORE_ELEMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "secateur/tensor.h"

namespace secateur {

// The elements [first, first + count), aligned to their size: memory of the source's, or `scratch`
// after filling it.
const std::byte* ReadElements(const Tensor& tensor, int64_t first, int64_t count,
                              std::byte* scratch);

// An element's bits without the sign.
uint64_t KeyAt(DType dtype, const std::byte* elements, int64_t index);

// Throws NONFINITE_WEIGHT for the element of that key.
[[noreturn]] void ThrowNonfiniteAt(const Tensor& tensor, int64_t index, uint64_t key);
// Looks for the first such element, one by one: for when it is known that there is one.
void ThrowIfNonfinite(const Tensor& tensor);

}  // namespace secateur

#endif  // SECATEUR_CORE_ELEMENTS_H_
