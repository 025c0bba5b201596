// Selection of channels, blocks and n of m: against plain loops, for every backend, type and number
// of threads, with the same bits.
#include "secateur/groups.h"

#include <bit>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "data.h"
#include "groups_reference.h"
#include "test.h"

namespace secateur::test {
namespace {

const std::vector<DType> kTypes = {DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                                   DType::kFloat64};

// Weights in memory, each tensor in two runs that part in mid-tensor.
struct Model {
  std::vector<Weights> weights;
  Grouping grouping;
  std::vector<std::unique_ptr<MemorySource>> sources;
  std::vector<Tensor> tensors;

  void Add(DType dtype, const GroupedTensor& grouped, const std::string& distribution = "normal",
           double factor = 1) {
    const auto seed = static_cast<uint32_t>(weights.size() + 1);
    const std::vector<double> values = MakeValues(distribution, grouped.view.count(), seed);
    weights.push_back({dtype, factor, ToBytes(values, dtype)});
    grouping.tensors.push_back(grouped);
  }

  // After the last Add: memory has its place.
  void Finish() {
    for (size_t t = 0; t < weights.size(); ++t) {
      const int64_t element = ElementBytes(weights[t].dtype);
      const int64_t split = weights[t].count() / 3 * element;
      const auto bytes = static_cast<int64_t>(weights[t].bytes.size());
      const MemorySource& source =
          *sources.emplace_back(std::make_unique<MemorySource>(weights[t].bytes.data()));
      tensors.push_back({"t" + std::to_string(t),
                         weights[t].dtype,
                         weights[t].factor,
                         weights[t].count(),
                         {{&source, 0, split}, {&source, split, bytes - split}}});
    }
  }
};

Kept KeptBy(const Model& model, const GroupSelection& selection) {
  Kept kept;
  for (size_t t = 0; t < model.weights.size(); ++t) {
    const int64_t count = model.weights[t].count();
    std::vector<uint8_t> flags(static_cast<size_t>(count), uint8_t{7});
    selection.support->Keep(t, 0, count, flags.data());
    kept.emplace_back();
    for (const uint8_t flag : flags) {
      EXPECT(flag <= 1);
      kept.back().push_back(flag != 0);
    }
  }
  return kept;
}

void ExpectCounts(const Model& model, const GroupSelection& selection, const Kept& kept) {
  int64_t removed = 0;
  for (size_t t = 0; t < kept.size(); ++t) {
    const int64_t gone = std::count(kept[t].begin(), kept[t].end(), false);
    EXPECT_EQ(selection.tensors[t].removed, gone);
    if (!model.grouping.tensors[t].follows) removed += gone;
  }
  EXPECT_EQ(selection.removed, removed);
}

// Asking for parts gives the same as asking for all.
void ExpectSameInParts(const Model& model, const GroupSelection& selection, const Kept& kept) {
  std::mt19937 random(5);
  for (size_t t = 0; t < model.weights.size(); ++t) {
    const int64_t count = model.weights[t].count();
    for (int n = 0; n < 20 && count > 0; ++n) {
      const int64_t first = static_cast<int64_t>(random()) % count;
      const int64_t part = 1 + static_cast<int64_t>(random()) % (count - first);
      std::vector<uint8_t> flags(static_cast<size_t>(part + 1), uint8_t{9});
      selection.support->Keep(t, first, part, flags.data());
      EXPECT_EQ(int{flags.back()}, 9);
      for (int64_t i = 0; i < part; ++i) EXPECT_EQ(int{flags[i]}, int{kept[t][first + i]});
    }
  }
}

// The same for every backend and number of threads; returns the first.
GroupSelection SelectEverywhere(const Model& model, const SelectOptions& given, const Kept& kept) {
  SelectOptions options = given;
  GroupSelection first = SelectGroups(model.tensors, model.grouping, options);
  for (const Backend* backend : SupportedBackends()) {
    for (const int threads : {1, 2, 5}) {
      Context() += " ";
      options.backend = backend;
      options.threads = threads;
      const GroupSelection selection = SelectGroups(model.tensors, model.grouping, options);
      EXPECT_EQ(std::bit_cast<uint64_t>(selection.threshold),
                std::bit_cast<uint64_t>(first.threshold));
      EXPECT(KeptBy(model, selection) == kept);
      ExpectCounts(model, selection, kept);
    }
  }
  ExpectSameInParts(model, first, kept);
  return first;
}

// Convolution, transposed and grouped transposed convolution, and matrices both ways round.
const std::vector<MatrixView> kViews = {{1, 1, 12, 27}, {1, 10, 14, 9}, {3, 4, 5, 6},
                                        {1, 1, 33, 70}, {1, 50, 41, 1}, {2, 9, 7, 1},
                                        {1, 1, 64, 1},  {1, 1, 0, 5}};

TEST(ChannelsAndBlocks) {
  const std::vector<std::pair<int64_t, int64_t>> blocks = {
      {1, int64_t{1} << 40}, {1, 1}, {4, 4}, {3, 5}, {1, 16}, {7, 1}, {1000, 1000}};
  for (const DType dtype : kTypes) {
    for (const auto& [rows, columns] : blocks) {
      Model model;
      for (const MatrixView& view : kViews) model.Add(dtype, {view, rows, columns, {}, false});
      model.Finish();
      for (const double ratio : {0.0, 0.3, 0.9}) {
        Context() = "block " + std::to_string(rows) + "x" + std::to_string(columns) + " at " +
                    std::to_string(ratio) + " of " + std::to_string(ElementBytes(dtype));
        SelectOptions options;
        options.ratios = {ratio};
        const Kept kept = WholeKept(model.weights, model.grouping, ratio, 0, false);
        SelectEverywhere(model, options, kept);
      }
    }
  }
}

// Blocks of one element are weights: the same selection, tie for tie, and the same threshold.
TEST(BlocksOfOneAreWeights) {
  for (const std::string& distribution : Distributions()) {
    Context() = distribution;
    Model model;
    model.Add(DType::kFloat32, {{1, 1, 61, 9}, 1, 1, {}, false}, distribution);
    model.Add(DType::kFloat32, {{1, 20, 30, 1}, 1, 1, {}, false}, distribution);
    // Blocks are numbered by row, weights by index: with equal values the order shows.
    model.grouping.tensors[1].view = {1, 1, 20, 30};
    model.Finish();
    SelectOptions options;
    options.ratios = {0.7};
    const GroupSelection groups = SelectGroups(model.tensors, model.grouping, options);
    const Selection weights = Select(model.tensors, options)[0];
    EXPECT(KeptBy(model, groups) == KeptBy(model.weights, weights));
    EXPECT_EQ(groups.removed, weights.removed);
    if (distribution == "normal") EXPECT_EQ(groups.threshold, weights.threshold);
  }
}

// Equal channels: the first stay.
TEST(TiesStayInOrder) {
  Model model;
  model.Add(DType::kFloat32, {{1, 1, 10, 8}, 1, 8, {}, false}, "constant");
  model.Add(DType::kFloat32, {{1, 8, 10, 1}, 1, 8, {}, false}, "constant");
  model.Finish();
  SelectOptions options;
  options.ratios = {0.75};
  const GroupSelection selection = SelectGroups(model.tensors, model.grouping, options);
  EXPECT_EQ(selection.removed_groups, 15);
  EXPECT_EQ(selection.tensors[0].removed_groups, 5);
  EXPECT_EQ(selection.tensors[1].removed_groups, 10);
  const Kept kept = KeptBy(model, selection);
  EXPECT(kept[0][0] && kept[0][39] && !kept[0][40]);
}

// Sets that span tensors, blocks that never go, and vectors that follow.
TEST(CoupledSetsGoTogether) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16}) {
    Model model;
    const int64_t all = int64_t{1} << 40;
    std::vector<int32_t> sets = {3, 1, 4, kNeverRemoved, 5, 9, 2, 6};
    model.Add(dtype, {{1, 1, 8, 30}, 1, all, sets, false});
    model.Add(dtype, {{1, 25, 8, 1}, 1, all, sets, false}, "normal", 1.5);
    model.Add(dtype, {{1, 1, 8, 1}, 1, all, sets, true});
    model.Add(dtype, {{1, 1, 6, 40}, 1, all, {10, 10, 11, 12, 13, 11}, false});
    model.Add(dtype, {{1, 1, 3, 1}, 1, all, {7, kNeverRemoved, 10}, true});
    model.Finish();
    for (const double ratio : {0.0, 0.2, 0.5, 0.8}) {
      Context() = "ratio " + std::to_string(ratio);
      SelectOptions options;
      options.ratios = {ratio};
      const Kept kept = WholeKept(model.weights, model.grouping, ratio, 0, true);
      const GroupSelection selection = SelectEverywhere(model, options, kept);
      EXPECT_EQ(selection.groups, 7 + 4);
      EXPECT_EQ(selection.weights, 8 * 30 + 8 * 25 + 6 * 40);
      EXPECT(kept[4][0] && kept[4][1]);
      EXPECT(selection.removed <= RemovedCount(ratio, selection.weights));
    }
  }
}

TEST(FloorsAndImpossibleRatios) {
  Model model;
  model.Add(DType::kFloat32, {{1, 1, 10, 20}, 1, 20, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, false},
            "sorted");
  model.Add(DType::kFloat32, {{1, 1, 5, 30}, 1, 30, {10, 11, 12, 13, 14}, false}, "normal");
  model.Finish();
  for (float* weight = reinterpret_cast<float*>(model.weights[0].bytes.data());
       weight < reinterpret_cast<float*>(model.weights[0].bytes.data() + 800); ++weight)
    *weight *= 1e-3f;  // all of the first tensor would go before any of the second
  SelectOptions options;
  options.ratios = {0.6};  // 210 of 350: 9 channels of 20, then one of 30
  const Kept kept = WholeKept(model.weights, model.grouping, 0.6, 0, true);
  const GroupSelection selection = SelectEverywhere(model, options, kept);
  EXPECT_EQ(selection.tensors[0].removed_groups, 9);
  EXPECT_EQ(selection.tensors[1].removed_groups, 1);
  options.min_keep = 0.45;
  options.ratios = {0.5};
  const Kept floored = WholeKept(model.weights, model.grouping, 0.5, 0.45, true);
  EXPECT_EQ(SelectEverywhere(model, options, floored).tensors[0].removed_groups, 5);
  const auto code = [&](double ratio, double min_keep) {
    options.ratios = {ratio};
    options.min_keep = min_keep;
    try {
      SelectGroups(model.tensors, model.grouping, options);
    } catch (const Error& error) {
      return error.code();
    }
    return std::string("none");
  };
  EXPECT_EQ(code(0.99, 0), "INVALID_OPTION");  // one channel each stays: 300 of 350 can go
  EXPECT_EQ(code(0.857, 0), "none");
  EXPECT_EQ(code(0.6, 0.5), "INVALID_OPTION");
  EXPECT_EQ(code(1, 0), "INVALID_OPTION");
}

TEST(LayersByThemselves) {
  Model model;
  for (const MatrixView& view : kViews) model.Add(DType::kFloat32, {view, 2, 3, {}, false});
  model.Finish();
  SelectOptions options;
  options.ratios = {0.5};
  options.scope = Scope::kLayer;
  Kept kept;
  for (size_t t = 0; t < kViews.size(); ++t) {
    Grouping alone;
    alone.tensors = {model.grouping.tensors[t]};
    kept.push_back(WholeKept({model.weights[t]}, alone, 0.5, 0, false)[0]);
  }
  EXPECT(std::isnan(SelectEverywhere(model, options, kept).threshold));
}

TEST(LargestOfEachBlock) {
  for (const DType dtype : kTypes) {
    for (const auto& [keep, block] : std::vector<std::pair<int64_t, int64_t>>{
             {2, 4}, {4, 8}, {1, 2}, {0, 4}, {16, 32}, {3, 4}}) {
      Model model;
      for (const char* distribution : {"normal", "few", "zeros90", "constant"}) {
        model.Add(dtype, {{5, 32, 9, 1}, 1, block, {}, false}, distribution);    // Conv
        model.Add(dtype, {{1, 1, 31, 64}, 1, block, {}, false}, distribution);   // Gemm, transposed
        model.Add(dtype, {{1, 64, 513, 1}, 1, block, {}, false}, distribution);  // MatMul
        model.Add(dtype, {{1, 1, 0, 32}, 1, block, {}, false}, distribution);
      }
      model.Finish();
      model.grouping.rule = GroupRule::kWithin;
      model.grouping.keep = keep;
      Context() = std::to_string(keep) + ":" + std::to_string(block);
      const Kept kept = WithinKept(model.weights, model.grouping);
      const GroupSelection selection = SelectEverywhere(model, {}, kept);
      EXPECT_EQ(selection.removed, selection.weights / block * (block - keep));
    }
  }
}

TEST(LongRowsAndLargeTensors) {
  Model model;
  const int64_t all = int64_t{1} << 40;
  model.Add(DType::kFloat32, {{1, 1, 3, 100001}, 1, all, {}, false});
  model.Add(DType::kFloat32, {{1, 50, 20011, 1}, 1, all, {}, false});
  model.Add(DType::kFloat16, {{1, 7, 300, 301}, 1, all, {}, false});
  model.Finish();
  SelectOptions options;
  options.ratios = {0.4};
  SelectEverywhere(model, options, WholeKept(model.weights, model.grouping, 0.4, 0, false));
}

std::string Message(const Model& model, const SelectOptions& options) {
  try {
    SelectGroups(model.tensors, model.grouping, options);
  } catch (const Error& error) {
    return error.code() + " " + error.tensor() + " " + std::to_string(error.index());
  }
  return "none";
}

TEST(NonfiniteWeights) {
  for (const GroupRule rule : {GroupRule::kWhole, GroupRule::kWithin}) {
    Model model;
    model.Add(DType::kFloat32, {{1, 1, 10, 20}, 1, 4, {}, false});
    model.Add(DType::kFloat32, {{1, 20, 10, 1}, 1, 4, {}, false});
    model.Finish();
    model.grouping.rule = rule;
    auto* values = reinterpret_cast<float*>(model.weights[1].bytes.data());
    values[57] = -std::numeric_limits<float>::infinity();
    values[157] = std::nanf("");
    SelectOptions options;
    options.ratios = {0.95};
    EXPECT_EQ(Message(model, options), "NONFINITE_WEIGHT t1 57");
    if (rule == GroupRule::kWithin) continue;
    options.allow_nonfinite = true;
    const Kept kept = KeptBy(model, SelectGroups(model.tensors, model.grouping, options));
    EXPECT(kept[1][57] && kept[1][157]);
  }
}

TEST(RefusesWhatDoesNotFit) {
  const auto code = [](const GroupedTensor& grouped, GroupRule rule) {
    Model model;
    model.Add(DType::kFloat32, {{1, 1, 4, 6}, 1, 6, {}, false});
    model.Finish();
    model.grouping.tensors[0] = grouped;
    model.grouping.rule = rule;
    SelectOptions options;
    options.ratios = {0.5};
    return Message(model, options);
  };
  const std::string refused = "INVALID_OPTION  -1";
  EXPECT_EQ(code({{1, 1, 4, 7}, 1, 6, {}, false}, GroupRule::kWhole), refused);
  EXPECT_EQ(code({{1, 1, 4, 6}, 0, 6, {}, false}, GroupRule::kWhole), refused);
  EXPECT_EQ(code({{1, 1, 4, 6}, 1, 6, {1, 2}, false}, GroupRule::kWhole), refused);
  EXPECT_EQ(code({{1, 1, 4, 6}, 1, 4, {}, false}, GroupRule::kWithin), refused);
  EXPECT_EQ(code({{1, 2, 4, 3}, 1, 3, {}, false}, GroupRule::kWithin), refused);
  EXPECT_EQ(code({{1, 1, 4, 6}, 1, 3, {}, false}, GroupRule::kWithin), "none");
}

}  // namespace
}  // namespace secateur::test

int main() { return secateur::test::RunAllTests(); }
