// Times the selection of groups and the making of their masks, without Node: groups_bench
// [elements] [threads]. Rates count one read of the weights.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "core/chunks.h"
#include "core/parallel.h"
#include "secateur/groups.h"
#include "secateur/random.h"

namespace secateur {
namespace {

double Fastest(const std::function<void()>& body) {
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

struct Case {
  const char* name;
  GroupRule rule;
  GroupedTensor tensor;
};

std::vector<Case> Cases(int64_t side) {
  const MatrixView rows{1, 1, side, side};
  const MatrixView columns{1, side, side, 1};
  const MatrixView kernels{side, side / 9, 9, 1};
  return {{"channels, stored by output", GroupRule::kWhole, {rows, 1, side, {}, false}},
          {"channels, stored by input", GroupRule::kWhole, {columns, 1, side, {}, false}},
          {"blocks of 4x4", GroupRule::kWhole, {rows, 4, 4, {}, false}},
          {"blocks of 32x32", GroupRule::kWhole, {rows, 32, 32, {}, false}},
          {"2:4, stored by output", GroupRule::kWithin, {rows, 1, 4, {}, false}},
          {"2:4, stored by input", GroupRule::kWithin, {columns, 1, 4, {}, false}},
          {"2:4 of 3x3 convolutions", GroupRule::kWithin, {kernels, 1, 4, {}, false}}};
}

void Measure(int64_t elements, int threads) {
  const auto side = static_cast<int64_t>(std::sqrt(static_cast<double>(elements))) / 288 * 288;
  std::vector<float> weights(static_cast<size_t>(side * side));
  FillNormal({weights.data(), weights.size()}, 1, 0, 0.05, threads);
  const MemorySource source(reinterpret_cast<std::byte*>(weights.data()));
  const int64_t bytes = side * side * 4;
  SelectOptions options;
  options.ratios = {0.5};
  options.threads = threads;
  std::printf("%s, %lld x %lld floats, %d threads\n", std::string(ActiveBackend().name).c_str(),
              static_cast<long long>(side), static_cast<long long>(side),
              ThreadsFor(bytes, threads));
  std::printf("%-28s %10s %7s %10s %7s\n", "", "select ms", "GB/s", "mask ms", "GB/s");
  for (const auto& [name, rule, grouped] : Cases(side)) {
    const Tensor tensor{"w", DType::kFloat32, 1, grouped.view.count(), {{&source, 0, bytes}}};
    const Grouping grouping{rule, 2, {grouped}};
    GroupSelection selection;
    const double select = Fastest([&] { selection = SelectGroups({tensor}, grouping, options); });
    const std::vector<Chunk> chunks = MakeChunks({tensor});
    const double mask = Fastest([&] {
      ParallelFor(ThreadsFor(bytes, threads), static_cast<int64_t>(chunks.size()),
                  [&](int64_t i, int) {
                    std::vector<uint8_t> keep(static_cast<size_t>(chunks[i].count));
                    selection.support->Keep(0, chunks[i].first, chunks[i].count, keep.data());
                  });
    });
    const auto size = static_cast<double>(bytes);
    std::printf("%-28s %10.2f %7.2f %10.2f %7.2f\n", name, select * 1e3, size / select / 1e9,
                mask * 1e3, size / mask / 1e9);
  }
}

}  // namespace
}  // namespace secateur

int main(int argc, char** argv) {
  const int64_t elements = argc > 1 ? std::atoll(argv[1]) : 100'000'000;
  secateur::Measure(elements, argc > 2 ? std::atoi(argv[2]) : 0);
  return 0;
}
