#include "secateur/groups.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <limits>
#include <string>

#include "core/chunks.h"
#include "core/elements.h"
#include "core/group_ranking.h"
#include "core/group_sums.h"
#include "core/group_support.h"
#include "core/key_buffer.h"
#include "core/parallel.h"
#include "core/select_rules.h"

namespace secateur {
namespace {

[[noreturn]] void Refuse(const Tensor& tensor, const std::string& expected) {
  throw Error("INVALID_OPTION", "Expected tensor \"" + tensor.name + "\" to have " + expected);
}

void ValidateTensor(const Tensor& tensor, const GroupedTensor& grouped, GroupRule rule) {
  const MatrixView& view = grouped.view;
  const bool positive = std::min({view.batches, view.outer, view.inner, grouped.block_rows,
                                  grouped.block_columns}) >= 1;
  if (!positive || view.rows < 0 || view.count() != tensor.count) {
    Refuse(tensor, "a matrix of its " + std::to_string(tensor.count) + " elements");
  }
  if (!grouped.sets.empty() &&
      static_cast<int64_t>(grouped.sets.size()) != BlockGrid(grouped).count()) {
    Refuse(tensor, "one set for each of its " + std::to_string(BlockGrid(grouped).count()) +
                       " blocks, got " + std::to_string(grouped.sets.size()));
  }
  if (rule == GroupRule::kWhole) return;
  const bool divides = view.columns() % grouped.block_columns == 0 && grouped.block_rows == 1;
  if (!divides || (view.inner > 1 && view.outer > 1) || !grouped.sets.empty() || grouped.follows) {
    Refuse(tensor, "rows that blocks of " + std::to_string(grouped.block_columns) + " divide");
  }
  if (grouped.block_columns > kMostWithin) {
    Refuse(tensor, "blocks of at most " + std::to_string(kMostWithin) + " weights");
  }
}

void Validate(const std::vector<Tensor>& tensors, const Grouping& grouping,
              const SelectOptions& options) {
  if (tensors.size() != grouping.tensors.size()) {
    throw Error("INVALID_OPTION", "Expected a matrix view of each of the " +
                                      std::to_string(tensors.size()) + " tensors, got " +
                                      std::to_string(grouping.tensors.size()));
  }
  if (grouping.rule == GroupRule::kWhole && options.ratios.size() != 1) {
    throw Error("INVALID_OPTION",
                "Expected one ratio for groups, got " + std::to_string(options.ratios.size()));
  }
  for (size_t t = 0; t < tensors.size(); ++t) {
    ValidateTensor(tensors[t], grouping.tensors[t], grouping.rule);
  }
}

void CheckFinite(const std::vector<Tensor>& tensors, const SelectOptions& options) {
  const std::vector<Chunk> chunks = MakeChunks(tensors);
  const int64_t total = TotalBytes(tensors);
  const int threads = ThreadsFor(total, options.threads);
  if (options.monitor) options.monitor->Begin(Phase::kSelect, total);
  std::deque<KeyBuffer> scratch;
  for (int worker = 0; worker < threads; ++worker) scratch.emplace_back(kChunkBytes);
  std::atomic<int64_t> nonfinite{0};
  ParallelFor(threads, static_cast<int64_t>(chunks.size()), [&](int64_t i, int worker) {
    if (options.monitor) options.monitor->ThrowIfCancelled();
    const Chunk& chunk = chunks[i];
    const DType dtype = tensors[chunk.tensor].dtype;
    const int64_t bytes = chunk.count * ElementBytes(dtype);
    const std::byte* weights = chunk.source->Read(chunk.offset, bytes, scratch[worker].data());
    WithKeyType(ElementBytes(dtype), [&](auto type) {
      using Key = decltype(type);
      const auto infinity = static_cast<Key>(InfinityKey(dtype));
      int64_t found = 0;
      options.backend->For<Key>().classify(weights, chunk.count, {&infinity, 1, 0}, &found,
                                           nullptr);
      nonfinite += found;
    });
    if (options.monitor) options.monitor->Advance(bytes);
  });
  if (nonfinite == 0) return;
  for (const Tensor& tensor : tensors) ThrowIfNonfinite(tensor);
}

GroupSelection SelectWithin(const std::vector<Tensor>& tensors, const Grouping& grouping,
                            const SelectOptions& options) {
  CheckFinite(tensors, options);
  GroupSelection selection;
  selection.threshold = std::numeric_limits<double>::quiet_NaN();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const int64_t block = grouping.tensors[t].block_columns;
    const int64_t blocks = tensors[t].count / block;
    const int64_t removed = blocks * std::max<int64_t>(0, block - grouping.keep);
    selection.tensors.push_back({removed, blocks, 0});
    selection.weights += tensors[t].count;
    selection.removed += removed;
    selection.groups += blocks;
  }
  if (selection.weights > 0) {
    selection.ratio =
        static_cast<double>(selection.removed) / static_cast<double>(selection.weights);
  }
  selection.support = std::make_shared<WithinSupport>(tensors, grouping, *options.backend);
  return selection;
}

GroupSelection SelectWhole(const std::vector<Tensor>& tensors, const Grouping& grouping,
                           const SelectOptions& options) {
  GroupRanking ranking(tensors, grouping.tensors, BlockSums(tensors, grouping.tensors, options));
  GroupSelection selection;
  selection.ratio = options.ratios[0];
  selection.threshold = ranking.Remove(options);
  selection.weights = ranking.weights();
  std::vector<BlockGrid> grids;
  std::vector<std::vector<uint8_t>> kept;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const BlockGrid& grid = grids.emplace_back(grouping.tensors[t]);
    std::vector<uint8_t>& flags = kept.emplace_back(grid.count(), uint8_t{1});
    TensorGroups& counts = selection.tensors.emplace_back();
    counts.groups = grid.count();
    grid.ForBlocks([&](int64_t block, int64_t weights) {
      if (!ranking.Removed(t, block)) return;
      flags[block] = 0;
      counts.removed += weights;
      ++counts.removed_groups;
    });
    if (!grouping.tensors[t].follows) selection.removed += counts.removed;
  }
  selection.groups = ranking.sets();
  selection.removed_groups = ranking.removed_sets();
  selection.support = std::make_shared<BlockSupport>(std::move(grids), std::move(kept));
  return selection;
}

}  // namespace

GroupSelection SelectGroups(const std::vector<Tensor>& tensors, const Grouping& grouping,
                            const SelectOptions& given) {
  SelectOptions options = given;
  if (options.backend == nullptr) options.backend = &ActiveBackend();
  ValidateSelect(tensors, options);
  Validate(tensors, grouping, options);
  return grouping.rule == GroupRule::kWithin ? SelectWithin(tensors, grouping, options)
                                             : SelectWhole(tensors, grouping, options);
}

}  // namespace secateur
