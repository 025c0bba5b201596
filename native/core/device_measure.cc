// Selection on a GPU against the floor of its memory. The weights are made anew in every round,
// since masking changes them; making and copying them is not timed.
#include <memory>
#include <vector>

#include "core/device_clock.h"
#include "core/device_group.h"
#include "core/device_memory.h"
#include "core/distributions.h"
#include "core/median.h"
#include "secateur/device.h"
#include "secateur/measure.h"

namespace secateur {
namespace {

constexpr int64_t kVector = 16;  // bytes that the plain read takes at a time

class DeviceMeasurement {
 public:
  DeviceMeasurement(const SelectMeasureOptions& options, std::shared_ptr<const Device> device)
      : options_(options),
        bytes_(options.elements * ElementBytes(options.dtype)),
        device_(std::move(device)),
        queue_(std::make_shared<const DeviceQueue>(*device_)),
        clock_(queue_),
        weights_(static_cast<size_t>(bytes_)) {}

  DeviceSelectMeasure Run() {
    FillFrom(DistributionOf(options_.distribution), options_.seed, options_.dtype, 0,
             options_.elements, weights_.data(), options_.threads);
    Round(nullptr);  // warms up
    Rounds rounds;
    for (int round = 0; round < options_.repeats; ++round) Round(&rounds);
    return {Median(rounds.floor), Median(rounds.copy), Median(rounds.select), Median(rounds.mask),
            Median(rounds.select_and_mask)};
  }

 private:
  struct Rounds {
    std::vector<double> floor, copy, select, mask, select_and_mask;
  };

  void Round(Rounds* rounds) {
    DeviceTensors tensors(device_, {{options_.dtype, options_.elements, weights_.data(), nullptr}},
                          {1}, {options_.threads, nullptr, nullptr});
    const auto* source = static_cast<const DeviceSource*>(tensors.tensors()[0].runs[0].source);
    const double floor = clock_.Time([&] { Read(source->memory()); });
    const double copy = Copy(source->memory());
    std::vector<Selection> selections;
    const double select = clock_.Time([&] { selections = tensors.Select(Options()); });
    const double both = clock_.Time([&] {
      selections = tensors.Select(Options());
      tensors.Apply(selections[0].tensors);
    });
    // Masked weights take as long to mask again.
    const double mask = clock_.Time([&] { tensors.Apply(selections[0].tensors); });
    if (rounds == nullptr) return;
    rounds->floor.push_back(floor);
    rounds->copy.push_back(copy);
    rounds->select.push_back(select);
    rounds->mask.push_back(mask);
    rounds->select_and_mask.push_back(both);
  }

  SelectOptions Options() const {
    SelectOptions select;
    select.ratios = options_.ratios;
    select.threads = options_.threads;
    return select;
  }

  void Read(const std::byte* memory) const {
    const DeviceBuffer result(queue_, sizeof(uint32_t));
    result.Zero();
    queue_->Check(queue_->api().read(memory, bytes_ / kVector * kVector, result.As<uint32_t>(),
                                     queue_->stream()),
                  "a kernel");
  }

  double Copy(const std::byte* memory) const {
    const DeviceBuffer other(queue_, bytes_);
    return clock_.Time([&] {
      queue_->Check(queue_->api().copy(other.As<void>(), memory, bytes_, queue_->stream()),
                    "a copy");
    });
  }

  const SelectMeasureOptions& options_;
  int64_t bytes_;
  std::shared_ptr<const Device> device_;
  SharedQueue queue_;
  DeviceClock clock_;
  std::vector<std::byte> weights_;
};

}  // namespace

DeviceSelectMeasure MeasureSelectOn(const SelectMeasureOptions& options,
                                    std::shared_ptr<const Device> device) {
  CheckMeasure(options);
  return DeviceMeasurement(options, std::move(device)).Run();
}

}  // namespace secateur
