// Timing of selection against the floor of its memory: what `secateur bench select` and
// native/bench print.
#ifndef SECATEUR_MEASURE_H_
#define SECATEUR_MEASURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "secateur/dtype.h"

namespace secateur {

struct SelectMeasureOptions {
  int64_t elements = 0;
  DType dtype = DType::kFloat32;
  // normal, uniform, constant, zeros90 (nine in ten are 0), heavy (tails of a Cauchy), few (16
  // distinct values)
  std::string distribution = "normal";
  std::vector<double> ratios = {0.9};
  int threads = 0;
  int repeats = 5;
  uint64_t seed = 1;
};

// Medians in seconds, all over the same memory, in turns.
struct SelectMeasure {
  double floor;             // a plain parallel read pass
  double floor_read_write;  // a plain parallel pass that reads and writes in place
  double select;
  double select_and_mask;  // in place; the mask is the first ratio's
  double nth_element;      // std::nth_element on a copy of the magnitudes, the copy included; one
                           // ratio, one thread
  int threads;
};

// Throws Error INVALID_OPTION on an unknown distribution and on nothing to measure.
void CheckMeasure(const SelectMeasureOptions& options);

// Throws as CheckMeasure, ABORTED never.
SelectMeasure MeasureSelect(const SelectMeasureOptions& options);

class Device;

// Medians in seconds by CUDA's events, the weights in a GPU's memory.
struct DeviceSelectMeasure {
  double floor;   // a plain read of them
  double copy;    // on the device: a read and a write
  double select;  // the host's part included
  double mask;    // in place, by the first ratio
  double select_and_mask;
};

// Throws as CheckMeasure; CUDA where the weights and a copy don't fit, or are of float64.
DeviceSelectMeasure MeasureSelectOn(const SelectMeasureOptions& options,
                                    std::shared_ptr<const Device> device);

}  // namespace secateur

#endif  // SECATEUR_MEASURE_H_
