// Times on a GPU, by CUDA's events or, where the CPU takes part, by the clock: the plain read,
// exact selection, masks, and fused Adam with ADMM against a copy. Usage: device_bench
// [elements]... The library is SECATEUR_CUDA_LIBRARY, or the one built beside.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "core/device_memory.h"
#include "core/device_plan.h"
#include "secateur/device.h"
#include "secateur/random.h"

namespace secateur {
namespace {

constexpr int kRepeats = 9;

double Median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

double ByClock(const std::function<void()>& body) {
  std::vector<double> seconds;
  body();  // warms up
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return Median(seconds);
}

double ByEvents(const DeviceQueue& queue, const std::function<void()>& body) {
  cuda::Event begin = nullptr;
  cuda::Event end = nullptr;
  queue.Check(queue.api().create_event(&begin), "an event");
  queue.Check(queue.api().create_event(&end), "an event");
  std::vector<double> seconds;
  for (int i = -1; i < kRepeats; ++i) {
    queue.Check(queue.api().record(begin, queue.stream()), "an event");
    body();
    queue.Check(queue.api().record(end, queue.stream()), "an event");
    queue.Wait();
    double each = 0;
    queue.Check(queue.api().elapsed(begin, end, &each), "an event");
    if (i >= 0) seconds.push_back(each);
  }
  queue.api().destroy_event(begin);
  queue.api().destroy_event(end);
  return Median(seconds);
}

void Print(const char* what, double bytes, double seconds, double floor) {
  std::printf("  %-34s %10.3f ms %9.1f GB/s  %5.1f%%\n", what, seconds * 1e3, bytes / seconds / 1e9,
              100 * floor / seconds * bytes);
}

// Percentages are of the bandwidth of the read, or of the copy.
class Bench {
 public:
  Bench(std::shared_ptr<const Device> device, int64_t elements)
      : device_(std::move(device)),
        queue_(std::make_shared<const DeviceQueue>(*device_)),
        elements_(elements),
        weights_(static_cast<size_t>(elements)) {
    FillNormal(weights_, 1, 0, 1, 0);
  }

  void Run() {
    std::printf("%lld weights of float32, normal\n", static_cast<long long>(elements_));
    const double bytes = 4.0 * static_cast<double>(elements_);
    const DeviceBuffer memory(queue_, elements_ * 4 / 16 * 16 + 16);
    const DeviceBuffer other(queue_, elements_ * 4);
    const DeviceBuffer result(queue_, 4);
    memory.Zero();
    const double read = ByEvents(*queue_, [&] {
      const int64_t whole = elements_ * 4 / 16 * 16;
      queue_->Check(
          queue_->api().read(memory.As<void>(), whole, result.As<uint32_t>(), queue_->stream()),
          "a kernel");
    });
    const double copy = ByEvents(*queue_, [&] {
      queue_->Check(
          queue_->api().copy(other.As<void>(), memory.As<void>(), elements_ * 4, queue_->stream()),
          "a copy");
    });
    Print("plain read", bytes, read, read / bytes);
    Print("copy on the device", 2 * bytes, copy, copy / (2 * bytes));
    Select(bytes, read / bytes, copy / (2 * bytes));
    Step(bytes, copy / (2 * bytes));
  }

 private:
  void Select(double bytes, double read, double copy) {
    const auto* in = reinterpret_cast<const std::byte*>(weights_.data());
    DeviceTensors tensors(device_, {{DType::kFloat32, elements_, in, nullptr}}, {1}, {});
    std::vector<Selection> selections;
    for (const double ratio : {0.1, 0.5, 0.9, 0.999}) {
      const double seconds = ByClock([&] { selections = tensors.Select({.ratios = {ratio}}); });
      Print(("select " + std::to_string(ratio).substr(0, 5)).c_str(), bytes, seconds, read);
    }
    const double nine = ByClock([&] {
      tensors.Select({.ratios = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}});
    });
    Print("select nine ratios", bytes, nine, read);
    const std::vector<TensorThreshold> thresholds = selections[0].tensors;
    const double mask = ByClock([&] { tensors.Apply(thresholds); });
    Print("mask in place", 2 * bytes, mask, copy);
  }

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
    args.scale = args.shrink = args.dual = args.root_scale = 1;
    args.rho = args.rate = 0.001F;
    args.beta1 = args.beta2 = 0.9F;
    args.fresh1 = args.fresh2 = 0.1F;
    args.epsilon = 1e-8F;
    const double seconds = ByEvents(*queue_, [&] { queue_->Run(queue_->api().step, args); });
    // Reads of w, g, m, v and V, writes of w, m and v.
    Print("Adam with ADMM", 8 * bytes, seconds, copy);
  }

  std::shared_ptr<const Device> device_;
  SharedQueue queue_;
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
