// The integers by which the weights of one group of tensors are compared: their own keys when all
// tensors have one type and factor, scores (core/score.h) when not.
#ifndef SECATEUR_CORE_KEY_DOMAIN_H_
#define SECATEUR_CORE_KEY_DOMAIN_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "core/score.h"
#include "secateur/tensor.h"

namespace secateur {

class KeyDomain {
 public:
  explicit KeyDomain(const std::vector<Tensor>& tensors)
      : dtype_(tensors.empty() ? DType::kFloat64 : tensors.front().dtype),
        factor_(tensors.empty() ? 1 : tensors.front().factor),
        uniform_(std::all_of(tensors.begin(), tensors.end(), [&](const Tensor& tensor) {
          return tensor.dtype == dtype_ && tensor.factor == factor_;
        })) {}

  bool uniform() const { return uniform_; }

  // The type of a tensor whose keys are this domain's integers.
  DType dtype() const { return uniform_ ? dtype_ : DType::kFloat64; }

  // Values of this domain lie below `infinity()`; weights that are not finite are at or above it.
  uint64_t infinity() const { return uniform_ ? InfinityKey(dtype_) : kInfinityScore; }

  uint64_t FromKey(const Tensor& tensor, uint64_t key) const {
    return uniform_ ? key : ScoreMap(tensor.dtype, tensor.factor).Score(key);
  }

  // The first key of `tensor` that is at or above `value`.
  uint64_t ToKey(const Tensor& tensor, uint64_t value) const {
    return uniform_ ? value : ScoreMap(tensor.dtype, tensor.factor).FirstKeyAtLeast(value);
  }

  double Score(uint64_t value) const {
    return std::bit_cast<double>(uniform_ ? ScoreMap(dtype_, factor_).Score(value) : value);
  }

 private:
  DType dtype_;
  double factor_;
  bool uniform_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_KEY_DOMAIN_H_
