// Finding the nearest entry of a codebook.
#ifndef SECATEUR_CORE_CODEBOOK_H_
#define SECATEUR_CORE_CODEBOOK_H_

#include <cstdint>
#include <span>
#include <vector>

namespace secateur {

// A grid over the entries' range says where to begin to look, so that a look-up is a step or two.
// Ties go to the smaller entry.
class Quantizer {
 public:
  // Ascending and finite, 1 to 255.
  explicit Quantizer(std::span<const float> entries);

  // The index of the entry nearest to a finite value.
  int Nearest(float value) const {
    int entry = start_[CellOf(value)];
    while (entry < last_ && value > borders_[entry]) ++entry;
    return entry;
  }

 private:
  static constexpr int kCells = 4096;

  // Grows with the value, whatever the rounding: so no border of an earlier cell is skipped.
  int CellOf(float value) const {
    const double cell = (value - low_) * scale_;
    return cell <= 0 ? 0 : cell >= kCells - 1 ? kCells - 1 : static_cast<int>(cell);
  }

  std::vector<double> borders_;  // halfway between neighbours
  std::vector<uint8_t> start_;   // of each cell: the borders that lie in earlier cells
  double low_;
  double scale_;
  int last_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_CODEBOOK_H_
