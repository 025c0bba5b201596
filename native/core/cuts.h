// Where to cut the range of keys so that each wanted rank falls into a class that is either a
// single key or few enough keys to be stored.
#ifndef SECATEUR_CORE_CUTS_H_
#define SECATEUR_CORE_CUTS_H_

#include <cstdint>
#include <vector>

namespace secateur {

// Values of a key domain, first <= last.
struct Bracket {
  uint64_t first;
  uint64_t last;
  bool first_is_common;  // many weights have exactly this value: count it apart, don't store it
  bool last_is_common;
};

// Class j holds the values in [cuts[j - 1], cuts[j]); class 0 begins at 0, the last ends nowhere.
struct Cuts {
  std::vector<uint64_t> values;  // ascending, distinct
  std::vector<bool> stored;      // one a class: values.size() + 1

  uint32_t StoreEdges() const;  // as Classification wants it
};

// Brackets may overlap. `infinity` is always a cut, so that what is not finite is counted.
Cuts CutsFor(const std::vector<Bracket>& brackets, uint64_t infinity);

// Cuts that split [first, last] evenly, nothing stored: narrows a range whatever the weights are.
Cuts EvenCuts(uint64_t first, uint64_t last, uint64_t infinity);

}  // namespace secateur

#endif  // SECATEUR_CORE_CUTS_H_
