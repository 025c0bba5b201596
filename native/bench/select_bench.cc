// Times selection without Node: select_bench [elements] [ratio ...]. Prints each distribution's
// times as multiples of a plain read pass.
#include <cstdio>
#include <cstdlib>

#include "secateur/backend.h"
#include "secateur/measure.h"

int main(int argc, char** argv) {
  secateur::SelectMeasureOptions options;
  options.elements = argc > 1 ? std::atoll(argv[1]) : 100'000'000;
  if (argc > 2) options.ratios.clear();
  for (int i = 2; i < argc; ++i) options.ratios.push_back(std::atof(argv[i]));
  struct Type {
    const char* name;
    secateur::DType dtype;
  };
  const Type types[] = {{"float32", secateur::DType::kFloat32},
                        {"float16", secateur::DType::kFloat16},
                        {"bfloat16", secateur::DType::kBFloat16},
                        {"float64", secateur::DType::kFloat64}};
  std::printf("%s, %lld elements, %zu ratios\n",
              std::string(secateur::ActiveBackend().name).c_str(),
              static_cast<long long>(options.elements), options.ratios.size());
  std::printf("%-9s %-9s %9s %9s %9s %9s %8s %8s\n", "dtype", "weights", "floor ms", "select ms",
              "+mask ms", "nth ms", "x floor", "x both");
  for (const Type& type : types) {
    for (const char* distribution : {"normal", "uniform", "constant", "zeros90", "heavy", "few"}) {
      options.dtype = type.dtype;
      options.distribution = distribution;
      const secateur::SelectMeasure m = secateur::MeasureSelect(options);
      std::printf("%-9s %-9s %9.2f %9.2f %9.2f %9.1f %8.2f %8.2f\n", type.name, distribution,
                  m.floor * 1e3, m.select * 1e3, m.select_and_mask * 1e3, m.nth_element * 1e3,
                  m.select / m.floor, m.select_and_mask / (m.floor + m.floor_read_write));
      std::fflush(stdout);
    }
  }
  return 0;
}
