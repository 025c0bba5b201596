// Times on a GPU by CUDA's events: the plain read, exact selection over ratios and distributions,
// CUB's radix sort of the same weights, masks, and fused Adam with ADMM against a copy. Usage:
// device_bench [elements]... The library is SECATEUR_CUDA_LIBRARY, or the one built beside.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#if defined(SECATEUR_BENCH_CUB)
#include "bench/radix_sort.h"
#endif
#include "core/device_clock.h"
#include "core/device_group.h"
#include "core/device_memory.h"
#include "core/device_plan.h"
#include "core/distributions.h"
#include "core/median.h"
#include "secateur/device.h"

namespace secateur {
namespace {

constexpr int kRepeats = 9;

// The median of some runs, after one that warms up.
double MedianOf(const DeviceClock& clock, const std::function<void()>& body) {
  std::vector<double> seconds;
  body();
  for (int i = 0; i < kRepeats; ++i) seconds.push_back(clock.Time(body));
  return Median(seconds);
}

void Print(const char* what, double bytes, double seconds, double floor) {
  std::printf("  %-34s %10.3f ms %9.1f GB/s  %5.1f%%\n", what, seconds * 1e3, bytes / seconds / 1e9,
              100 * floor / seconds * bytes);
}

constexpr const char* kDistributions[] = {"normal",  "uniform", "constant",
                                          "zeros90", "heavy",   "few"};

// Percentages are of the bandwidth of the read, or of the copy.
class Bench {
 public:
  Bench(std::shared_ptr<const Device> device, int64_t elements)
      : device_(std::move(device)),
        queue_(std::make_shared<const DeviceQueue>(*device_)),
        clock_(queue_),
        elements_(elements),
        weights_(static_cast<size_t>(elements)) {}

  void Run() {
    std::printf("%lld weights of float32\n", static_cast<long long>(elements_));
    const double bytes = 4.0 * static_cast<double>(elements_);
    const double copy = Floors(bytes);
    for (const char* distribution : kDistributions) Select(distribution, bytes, copy);
    Step(bytes, copy);
  }

 private:
  // The seconds a byte of a copy.
  double Floors(double bytes) {
    const DeviceBuffer memory(queue_, elements_ * 4);
    const DeviceBuffer other(queue_, elements_ * 4);
    memory.Zero();
    const double copy = MedianOf(clock_, [&] {
      queue_->Check(
          queue_->api().copy(other.As<void>(), memory.As<void>(), elements_ * 4, queue_->stream()),
          "a copy");
    });
    Print("copy on the device", 2 * bytes, copy, copy / (2 * bytes));
    return copy / (2 * bytes);
  }

  double Read(const std::byte* memory) const {
    constexpr int64_t kVector = 16;
    const DeviceBuffer result(queue_, 4);
    return MedianOf(clock_, [&] {
      queue_->Check(queue_->api().read(memory, elements_ * 4 / kVector * kVector,
                                       result.As<uint32_t>(), queue_->stream()),
                    "a kernel");
    });
  }

  void Select(const char* distribution, double bytes, double copy) {
    std::printf(" %s\n", distribution);
    auto* in = reinterpret_cast<std::byte*>(weights_.data());
    FillFrom(DistributionOf(distribution), 1, DType::kFloat32, 0, elements_, in, 0);
    DeviceTensors tensors(device_, {{DType::kFloat32, elements_, in, nullptr}}, {1}, {});
    const auto* memory =
        static_cast<const DeviceSource*>(tensors.tensors()[0].runs[0].source)->memory();
    const double read = Read(memory);
    Print("plain read", bytes, read, read / bytes);
    std::vector<Selection> selections;
    double one = 0;
    for (const double ratio : {0.1, 0.5, 0.9, 0.999}) {
      one = MedianOf(clock_, [&] { selections = tensors.Select({.ratios = {ratio}}); });
      Print(("select " + std::to_string(ratio).substr(0, 5)).c_str(), bytes, one, read / bytes);
    }
    const double nine = MedianOf(clock_, [&] {
      tensors.Select({.ratios = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}});
    });
    Print("select nine ratios", bytes, nine, read / bytes);
    Sort(memory, bytes, read / bytes, one);
    const std::vector<TensorThreshold> thresholds = selections[0].tensors;
    const double mask = MedianOf(clock_, [&] { tensors.Apply(thresholds); });
    Print("mask in place", 2 * bytes, mask, copy);
  }

#if defined(SECATEUR_BENCH_CUB)
  // Of the same weights, in the same run.
  void Sort(const std::byte* memory, double bytes, double read, double select) const {
    const auto* in = reinterpret_cast<const uint32_t*>(memory);
    uint64_t temporary_bytes = 0;
    const DeviceBuffer out(queue_, elements_ * 4);
    const auto sort = [&](void* temporary) {
      queue_->Check(bench::SortMagnitudes(in, out.As<uint32_t>(), elements_, temporary,
                                          &temporary_bytes, queue_->stream()),
                    "a sort");
    };
    sort(nullptr);
    const DeviceBuffer temporary(queue_, static_cast<int64_t>(temporary_bytes));
    const double seconds = MedianOf(clock_, [&] { sort(temporary.As<void>()); });
    Print("CUB radix sort", bytes, seconds, read);
    std::printf("  %-34s %10.1f x\n", "CUB radix sort over select", seconds / select);
  }
#else
  void Sort(const std::byte*, double, double, double) const {
    std::printf("  CUB radix sort is left out: built without CUDA\n");
  }
#endif

  void Step(double bytes, double copy) {
    const std::vector<cuda::Entry> entry = {{0, elements_, 0, 0, 1, 0, 0}};
    const std::vector<cuda::StepSwitches> on = {{{0x3f000000, 0x3f000001, 0}, true, true, false}};
    const DeviceBuffer entries = Uploaded(queue_, entry);
    const DeviceBuffer switches = Uploaded(queue_, on);
    std::vector<DeviceBuffer> arrays;
    for (int i = 0; i < 5; ++i) arrays.emplace_back(queue_, elements_ * 4).Zero();
    cuda::StepArgs args = {};
    args.tiles = {nullptr, entries.As<cuda::Entry>(), 1, 0,
                  (elements_ + cuda::kTile - 1) / cuda::kTile};
    args.w = arrays[0].As<float>();
    args.g = arrays[1].As<float>();
    args.m = arrays[2].As<float>();
    args.v = arrays[3].As<float>();
    args.admm = arrays[4].As<float>();
    args.switches = switches.As<cuda::StepSwitches>();
    args.update = cuda::Update::kAdam;
    args.scale = args.shrink = args.dual = 1;
    args.rho = 0.001F;
    args.adam = {0.001F, 0.9F, 0.1F, 0.9F, 0.1F, 1, 1e-8F};
    const double seconds = MedianOf(clock_, [&] { queue_->Run(queue_->api().step, args); });
    // Reads of w, g, m, v and V, writes of w, m and v.
    Print("Adam with ADMM", 8 * bytes, seconds, copy);
  }

  std::shared_ptr<const Device> device_;
  SharedQueue queue_;
  DeviceClock clock_;
  int64_t elements_;
  std::vector<float> weights_;
};

std::string Library() {
  const char* given = std::getenv("SECATEUR_CUDA_LIBRARY");
#if defined(SECATEUR_CUDA_PATH)
  if (given == nullptr || *given == '\0') return SECATEUR_CUDA_PATH;
#endif
  return given == nullptr ? "libsecateur_cuda.so" : given;
}

int Main(const std::vector<std::string>& arguments) {
  try {
    const std::shared_ptr<const Device> device = Device::Open(Library());
    const DeviceFacts& facts = device->facts();
    std::printf("%s, compute capability %d.%d, driver %d, built with %d\n", facts.name.c_str(),
                facts.major, facts.minor, facts.driver, facts.runtime);
    std::vector<int64_t> sizes;
    for (const std::string& argument : arguments) sizes.push_back(std::stoll(argument));
    if (sizes.empty()) sizes = {10'000, 1'000'000, 100'000'000, 1'000'000'000};
    for (const int64_t elements : sizes) Bench(device, elements).Run();
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
    return 1;
  }
}

}  // namespace
}  // namespace secateur

int main(int count, char** arguments) { return secateur::Main({arguments + 1, arguments + count}); }
