// The median of measured times.
#ifndef SECATEUR_CORE_MEDIAN_H_
#define SECATEUR_CORE_MEDIAN_H_

#include <algorithm>
#include <vector>

namespace secateur {

inline double Median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t middle = seconds.size() / 2;
  return seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
}

}  // namespace secateur

#endif  // SECATEUR_CORE_MEDIAN_H_
