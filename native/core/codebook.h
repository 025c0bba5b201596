// Finding the nearest entry of a codebook.
#ifndef SECATEUR_CORE_CODEBOOK_H_
#define SECATEUR_CORE_CODEBOOK_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace secateur {

// A grid over the entries' range says where to begin to look, so that a look-up is a step or two.
// Ties go to the smaller entry.
class Quantizer {
 public:
  // Ascending and finite, 1 to 255.
  explicit Quantizer(std::span<const float> entries);

  // The index of the entry nearest to a finite value.
  int Nearest(float value) const {
    int entry = start_[static_cast<size_t>(CellOf(value))];
    // Most cells have one border or none, so that this addition saves a branch that nobody
    // predicts.
    entry += static_cast<int>(value > borders_[static_cast<size_t>(entry)]);
    while (value > borders_[static_cast<size_t>(entry)]) ++entry;
    return entry;
  }

 private:
  static constexpr int kCells = 4096;

  // Grows with the value, whatever the rounding: so no border of an earlier cell is skipped.
  int CellOf(float value) const {
    const double cell = (value - low_) * scale_;
    return static_cast<int>(std::clamp<double>(cell, 0, kCells - 1));
  }

  std::array<double, 256> borders_;    // halfway between neighbours; then infinity
  std::array<uint8_t, kCells> start_;  // of each cell: the borders that lie in earlier cells
  double low_;
  double scale_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_CODEBOOK_H_
