#include "core/masking.h"

#include "core/key_buffer.h"
#include "secateur/mask.h"

namespace secateur {

int64_t Masking::Apply(size_t tensor, DType dtype, int64_t first, std::byte* weights,
                       int64_t count) const {
  if (support_ == nullptr) {
    return MaskStretch(backend_, dtype, selection_.tensors[tensor], first, weights, weights, count);
  }
  std::vector<uint8_t> keep(static_cast<size_t>(count));
  support_->Keep(tensor, first, count, keep.data());
  return WithKeyType(ElementBytes(dtype), [&](auto type) {
    return backend_.For<decltype(type)>().mask_by(weights, weights, count, keep.data());
  });
}

std::vector<uint8_t> Masking::Keep(size_t tensor, int64_t first,
                                   const std::vector<uint16_t>& values) const {
  std::vector<uint8_t> keep(values.size());
  if (support_ != nullptr) {
    support_->Keep(tensor, first, static_cast<int64_t>(values.size()), keep.data());
    return keep;
  }
  const TensorThreshold& threshold = selection_.tensors[tensor];
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t key = values[i] & 0x7fff;
    const bool before_cut = first + static_cast<int64_t>(i) < threshold.tie_cut;
    keep[i] = key >= threshold.tie_end || (key >= threshold.tie_begin && before_cut) ? 1 : 0;
  }
  return keep;
}

}  // namespace secateur
