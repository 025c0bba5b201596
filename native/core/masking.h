// What PruneFiles does to weights: masking by thresholds or by a group selection, behind one door.
#ifndef SECATEUR_CORE_MASKING_H_
#define SECATEUR_CORE_MASKING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "secateur/backend.h"
#include "secateur/groups.h"
#include "secateur/select.h"

namespace secateur {

class Masking {
 public:
  // `support` null: by the thresholds. Both must outlive the masking.
  Masking(const Backend& backend, const Selection& selection, const Support* support)
      : backend_(backend), selection_(selection), support_(support) {}

  // Zeroes what goes of the elements [first, first + count) of a tensor, in place. Returns the
  // zeros that are there then.
  int64_t Apply(size_t tensor, DType dtype, int64_t first, std::byte* weights, int64_t count) const;

  // Whether each of them stays, given their keys.
  std::vector<uint8_t> Keep(size_t tensor, int64_t first,
                            const std::vector<uint16_t>& values) const;

 private:
  const Backend& backend_;
  const Selection& selection_;
  const Support* support_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_MASKING_H_
