// Switches the compiler to another instruction set for a region of a file, after all headers are
// included: a whole-file flag would let the linker pick, say, an AVX-512 copy of a standard inline
// function for every caller, and crash older processors. SECATEUR_BEGIN_TARGET("avx2,bmi") ...
// SECATEUR_END_TARGET
#ifndef SECATEUR_CPU_TARGET_H_
#define SECATEUR_CPU_TARGET_H_

#define SECATEUR_PRAGMA(tokens) _Pragma(#tokens)

#if defined(__clang__)
#define SECATEUR_BEGIN_TARGET(features) \
  SECATEUR_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define SECATEUR_END_TARGET SECATEUR_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define SECATEUR_BEGIN_TARGET(features) \
  SECATEUR_PRAGMA(GCC push_options) SECATEUR_PRAGMA(GCC target(features))
#define SECATEUR_END_TARGET SECATEUR_PRAGMA(GCC pop_options)
#else
#define SECATEUR_BEGIN_TARGET(features)
#define SECATEUR_END_TARGET
#endif

#endif  // SECATEUR_CPU_TARGET_H_
