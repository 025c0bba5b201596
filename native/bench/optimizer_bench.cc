// Times one fused optimizer step against a plain parallel copy of the same memory: optimizer_bench
// [elements] [threads]. Rates count every byte that must move: each array read, and each changed
// one written, once.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "core/parallel.h"
#include "core/stretches.h"
#include "secateur/admm.h"
#include "secateur/optimizer.h"
#include "secateur/random.h"

namespace secateur {
namespace {

constexpr int kRepeats = 9;

double Fastest(const std::function<void()>& body) {
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void Fill(ParameterStore& store, Slot slot, uint64_t stream, double deviation) {
  FillNormal({store.Data(slot), static_cast<size_t>(store.PaddedElements())}, 1, stream, deviation,
             0);
}

// The better of copying slot to slot in stretches and in one part a thread, which may go past the
// caches.
double CopyRate(ParameterStore& store, int threads) {
  double rate = 0;
  for (const int64_t part : {kStretch, (store.elements() + threads - 1) / threads}) {
    const double seconds = Fastest([&] {
      ParallelFor(threads, (store.elements() + part - 1) / part, [&](int64_t i, int) {
        std::memcpy(store.Data(Slot::kAverage) + i * part, store.Data(Slot::kGradients) + i * part,
                    static_cast<size_t>(std::min(part, store.elements() - i * part)) * 4);
      });
    });
    rate = std::max(rate, static_cast<double>(store.elements()) * 8 / seconds);
  }
  return rate;
}

struct Case {
  const char* name;
  int bytes;  // an element
  StepOptions options;
  bool mask;
};

std::vector<Case> Cases() {
  StepOptions sgd;
  sgd.learning_rate = 1e-6;
  StepOptions momentum = sgd;
  momentum.momentum = 0.9;
  momentum.l2 = 1e-4;
  StepOptions adam = sgd;
  adam.kind = OptimizerKind::kAdam;
  adam.decay = 0.01;
  StepOptions sgd_admm = momentum;
  sgd_admm.rho = 1e-3;
  StepOptions adam_admm = adam;
  adam_admm.rho = 1e-3;
  StepOptions clipped = adam_admm;
  clipped.max_gradient_norm = 1;
  return {{"sgd", 12, sgd, false},
          {"sgd, momentum, weight decay", 20, momentum, false},
          {"sgd, momentum, ADMM", 24, sgd_admm, false},
          {"adamw", 28, adam, false},
          {"adamw, ADMM", 32, adam_admm, false},
          {"adamw, ADMM, clipped", 36, clipped, false},
          {"adamw, masked", 29, adam, true}};
}

void Measure(int64_t elements, int threads) {
  const auto store = ParameterStore::Create({{"weights", elements, true, true}});
  store->Allocate(Slot::kAverage);
  Fill(*store, Slot::kParameters, 0, 0.05);
  Fill(*store, Slot::kGradients, 1, 1e-3);
  ProjectOptions project;
  project.ratio = 0.9;
  project.threads = threads;
  const int used = ThreadsFor(elements * 16, threads);
  const double copy = CopyRate(*store, used);
  std::printf("%s, %lld elements, %d threads, copy %.1f GB/s\n",
              std::string(ActiveBackend().name).c_str(), static_cast<long long>(elements), used,
              copy / 1e9);
  const double projection = Fastest([&] { AdmmProject(*store, project); });
  std::printf("%-28s %9.3f ms\n", "projection", projection * 1e3);
  std::printf("%-28s %9s %9s %8s\n", "step", "ms", "GB/s", "/ copy");
  for (Case& test : Cases()) {
    test.options.threads = threads;
    if (test.mask) MaskBySupport(*store, threads);
    const double seconds = Fastest([&] {
      OptimizerStep(*store, test.options);
      ++test.options.step;
    });
    const double rate = static_cast<double>(elements) * test.bytes / seconds;
    std::printf("%-28s %9.3f %9.1f %8.2f\n", test.name, seconds * 1e3, rate / 1e9, rate / copy);
  }
}

}  // namespace
}  // namespace secateur

int main(int argc, char** argv) {
  const int64_t elements = argc > 1 ? std::atoll(argv[1]) : 50'000'000;
  secateur::Measure(elements, argc > 2 ? std::atoi(argv[2]) : 0);
  return 0;
}
