// Selection against the reference: every backend, distribution, type, scope and thread count gives
// the same bits.
#include "secateur/select.h"

#include <limits>

#include "core/chunks.h"
#include "failures.h"
#include "fixture.h"
#include "reference.h"
#include "test.h"

namespace secateur::test {
namespace {

const std::vector<DType> kTypes = {DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                                   DType::kFloat64};

void ExpectReference(const Fixture& fixture, const SelectOptions& options) {
  const std::vector<Selection> selections = Select(fixture.tensors, options);
  EXPECT_EQ(selections.size(), options.ratios.size());
  for (size_t i = 0; i < selections.size(); ++i) {
    const Kept expected = ReferenceKept(fixture.weights, options.ratios[i], options.scope);
    const Kept kept = KeptBy(fixture.weights, selections[i]);
    EXPECT(kept == expected);
    for (size_t t = 0; t < kept.size(); ++t) {
      EXPECT_EQ(selections[i].tensors[t].removed,
                std::count(expected[t].begin(), expected[t].end(), false));
    }
  }
}

void ForBackends(const std::string& context, const std::function<void(const Backend&)>& body) {
  for (const Backend* backend : SupportedBackends()) {
    Context() = context + " backend=" + std::string(backend->name);
    body(*backend);
  }
}

TEST(SmallSizes) {
  for (const DType dtype : kTypes) {
    for (const char* distribution : {"normal", "few", "zero"}) {
      for (int64_t count = 1; count < 1024; count += count < 70 ? 1 : 37) {
        const Fixture fixture = MakeFixture({{dtype, count}, {dtype, count / 3}}, distribution);
        ForBackends(
            std::string(distribution) + " n=" + std::to_string(count), [&](const Backend& backend) {
              ExpectReference(fixture, {.ratios = {0, 0.5, 0.9, 0.999}, .backend = &backend});
            });
      }
    }
  }
}

TEST(DistributionsAndTypes) {
  for (const std::string& distribution : Distributions()) {
    for (const DType dtype : kTypes) {
      const Fixture fixture =
          MakeFixture({{dtype, 70000}, {dtype, 1}, {dtype, 0}, {dtype, 33333}}, distribution);
      ForBackends(distribution, [&](const Backend& backend) {
        ExpectReference(fixture, {.ratios = {0.1, 0.5, 0.9}, .backend = &backend});
        ExpectReference(fixture, {.ratios = {0.9}, .scope = Scope::kLayer, .backend = &backend});
      });
    }
  }
}

TEST(MixedTypesAndFactors) {
  for (const std::string& distribution : Distributions()) {
    const Fixture fixture = MakeFixture({{DType::kFloat32, 40000},
                                         {DType::kFloat16, 30000},
                                         {DType::kFloat64, 20000},
                                         {DType::kBFloat16, 10000}},
                                        distribution, {1, 0.37, 1e3, 1});
    ForBackends(distribution, [&](const Backend& backend) {
      ExpectReference(fixture, {.ratios = {0.2, 0.75}, .backend = &backend});
    });
  }
}

TEST(LargeAcrossThreads) {
  for (const std::string& distribution : Distributions()) {
    const Fixture fixture =
        MakeFixture({{DType::kFloat32, 900000}, {DType::kFloat32, 700001}}, distribution);
    const Kept expected = ReferenceKept(fixture.weights, 0.9, Scope::kGlobal);
    ForBackends(distribution, [&](const Backend& backend) {
      for (int threads : {1, 2, 3, 8}) {
        const auto selections =
            Select(fixture.tensors, {.ratios = {0.9}, .threads = threads, .backend = &backend});
        EXPECT(KeptBy(fixture.weights, selections[0]) == expected);
      }
    });
  }
}

TEST(NineRatios) {
  for (const char* distribution : {"normal", "few", "zeros90", "same-prefix"}) {
    for (const DType dtype : kTypes) {
      const Fixture fixture = MakeFixture({{dtype, 150000}}, distribution);
      ForBackends(distribution, [&](const Backend& backend) {
        ExpectReference(fixture, {.ratios = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9},
                                  .backend = &backend});
      });
    }
  }
}

TEST(ManyRatios) {
  const Fixture fixture = MakeFixture({{DType::kFloat32, 60000}}, "normal");
  SelectOptions options;
  for (int i = 0; i < 100; ++i) options.ratios.push_back(i / 100.0);
  ExpectReference(fixture, options);
}

TEST(UnalignedAndSplitRuns) {
  const std::vector<std::byte> bytes = ToBytes(MakeValues("few", 50000, 7), DType::kFloat32);
  std::vector<std::byte> file(bytes.size() + 64);
  std::copy_n(bytes.begin(), 80000, file.begin() + 3);
  std::copy(bytes.begin() + 80000, bytes.end(), file.begin() + 80000 + 3 + 9);
  const MemorySource source(file.data());
  const auto rest = static_cast<int64_t>(bytes.size()) - 80000;
  const Tensor tensor{
      "w", DType::kFloat32, 1, 50000, {{&source, 3, 80000}, {&source, 80012, rest}}};
  const std::vector<Weights> weights = {{DType::kFloat32, 1, bytes}};
  ForBackends("", [&](const Backend& backend) {
    const auto selections = Select({tensor}, {.ratios = {0.55}, .backend = &backend});
    EXPECT(KeptBy(weights, selections[0]) == ReferenceKept(weights, 0.55, Scope::kGlobal));
  });
}

// A sample that sees nothing of what matters: the fallback must still be exact.
TEST(SampleMisses) {
  std::vector<double> values(2000000, 1.0);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = i < 1999000 ? 1e-3 : 1.0 + static_cast<double>(i) * 1e-7;
  Fixture fixture;
  fixture.Add({DType::kFloat32, 1, ToBytes(values, DType::kFloat32)});
  fixture.Bind();
  ForBackends("", [&](const Backend& backend) {
    ExpectReference(fixture, {.ratios = {0.9990, 0.9995, 0.99979}, .backend = &backend});
  });
}

TEST(Floors) {
  Fixture fixture;
  for (int t = 0; t < 4; ++t) {
    std::vector<double> values = MakeValues("normal", 20000, static_cast<uint32_t>(t + 5));
    for (double& value : values) value *= t == 0 ? 0.001 : t;
    fixture.Add({DType::kFloat32, 1, ToBytes(values, DType::kFloat32)});
  }
  fixture.Bind();
  ForBackends("", [&](const Backend& backend) {
    const Selection free = Select(fixture.tensors, {.ratios = {0.9}, .backend = &backend})[0];
    EXPECT_EQ(free.tensors[0].removed, 20000);
    const Selection held =
        Select(fixture.tensors, {.ratios = {0.9}, .min_keep = 0.05, .backend = &backend})[0];
    int64_t removed = 0;
    for (const TensorThreshold& threshold : held.tensors) {
      EXPECT(threshold.removed <= 19000);
      removed += threshold.removed;
    }
    EXPECT_EQ(removed, 72000);
    EXPECT_EQ(held.tensors[0].removed, 19000);
    // Held tensors lose their own smallest; the rest share one threshold.
    Kept expected = ReferenceKept({fixture.weights[0]}, 0.95, Scope::kGlobal);
    EXPECT(KeptBy(fixture.weights, held)[0] == expected[0]);
  });
  bool refused = false;
  try {
    Select(fixture.tensors, {.ratios = {0.9}, .min_keep = 0.2});
  } catch (const Error& error) {
    refused = error.code() == "INVALID_OPTION";
  }
  EXPECT(refused);
}

TEST(Nonfinite) {
  for (const DType dtype : kTypes) {
    for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
      Fixture fixture = MakeFixture({{dtype, 50}, {dtype, 60000}}, "normal");
      uint64_t bits = InfinityKey(dtype) + (std::isnan(bad) ? 1 : 0);
      const auto element = static_cast<size_t>(ElementBytes(dtype));
      std::memcpy(fixture.weights[1].bytes.data() + 41234 * element, &bits, element);
      std::memcpy(fixture.weights[1].bytes.data() + 50000 * element, &bits, element);
      ForBackends("", [&](const Backend& backend) {
        std::string message;
        try {
          Select(fixture.tensors, {.ratios = {0.5}, .backend = &backend});
        } catch (const Error& error) {
          message = error.code() + " " + error.tensor() + " " + std::to_string(error.index());
        }
        EXPECT_EQ(message, std::string("NONFINITE_WEIGHT w1 41234"));
        const auto kept =
            KeptBy(fixture.weights,
                   Select(fixture.tensors,
                          {.ratios = {0.9}, .allow_nonfinite = true, .backend = &backend})[0]);
        EXPECT(kept[1][41234] && kept[1][50000]);
        EXPECT_EQ(std::count(kept[0].begin(), kept[0].end(), false) +
                      std::count(kept[1].begin(), kept[1].end(), false),
                  54045);
      });
    }
  }
}

TEST(RefusesWhatIsNotARatio) {
  const Fixture fixture = MakeFixture({{DType::kFloat32, 10}}, "normal");
  for (double ratio : {-0.1, 1.0, std::nan("")}) {
    bool refused = false;
    try {
      Select(fixture.tensors, {.ratios = {ratio}});
    } catch (const Error& error) {
      refused = error.code() == "INVALID_OPTION";
    }
    EXPECT(refused);
  }
}

TEST(Cancels) {
  const Fixture fixture = MakeFixture({{DType::kFloat32, 300000}}, "normal");
  Monitor monitor;
  monitor.Cancel();
  EXPECT_EQ(CodeOf([&] { Select(fixture.tensors, {.ratios = {0.5}, .monitor = &monitor}); }),
            std::string("ABORTED"));
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
