# The CUDA library: by nvcc for GPUs, and from the same files by the C++ compiler for tests, where a GPU is emulated.
# Neither is linked by anything: they are loaded when a GPU is asked for.
string(TOLOWER "${SECATEUR_CUDA}" secateur_cuda)
if(NOT secateur_cuda STREQUAL off)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE secateur_nvcc ERROR_QUIET)
    if(secateur_nvcc MATCHES "release ([0-9.]+)" AND CMAKE_MATCH_1 VERSION_LESS 12.0)
      message(STATUS "CUDA library: not built, nvcc ${CMAKE_MATCH_1} is too old")
      set(CMAKE_CUDA_COMPILER NOTFOUND)
    endif()
  endif()
  if(CMAKE_CUDA_COMPILER)
    # Named here, not "native": the machine that builds need not have a GPU.
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 89-real 90-real)
      execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE secateur_known ERROR_QUIET)
      if(secateur_known MATCHES "compute_100")
        list(APPEND CMAKE_CUDA_ARCHITECTURES 100)
      else()
        list(APPEND CMAKE_CUDA_ARCHITECTURES 90-virtual) # PTX, which later drivers compile
      endif()
    endif()
    enable_language(CUDA)
    add_library(
      secateur_cuda SHARED native/cuda/select.cu native/cuda/mask.cu native/cuda/train.cu native/cuda/runtime.cu
    )
    target_include_directories(secateur_cuda PRIVATE native/include native)
    set_target_properties(
      secateur_cuda
      PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
    )
    # No contraction, as on the CPU: both give the same bits.
    target_compile_options(secateur_cuda PRIVATE -fmad=false --expt-relaxed-constexpr)
    if(SECATEUR_WERROR)
      target_compile_options(secateur_cuda PRIVATE -Werror=all-warnings)
    endif()
    message(STATUS "CUDA library: nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(secateur_cuda STREQUAL on)
    message(FATAL_ERROR "Expected an nvcc for SECATEUR_CUDA=on, 12 or later, found none: set CMAKE_CUDA_COMPILER or CUDACXX")
  else()
    message(STATUS "CUDA library: not built, there is no nvcc")
  endif()
endif()

# Contexts that change over are POSIX.
if((SECATEUR_TESTS OR SECATEUR_CUDA_EMULATED) AND UNIX AND NOT APPLE)
  add_library(secateur_cuda_emulated SHARED native/cuda/emulation/library.cc native/cuda/emulation/cuda_emulation.cc)
  target_compile_options(secateur_cuda_emulated PRIVATE -Wno-unknown-pragmas)
  target_compile_definitions(secateur_cuda_emulated PRIVATE SECATEUR_CUDA_EMULATED)
  target_include_directories(secateur_cuda_emulated PRIVATE native/include native)
  target_link_libraries(secateur_cuda_emulated PRIVATE secateur_flags)
endif()
