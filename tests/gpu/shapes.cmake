# Conformance in the shapes of tiles, and by the instructions, that the suite alone does not choose.

# Latents on a device with many processors, where a sequence has many shares.
foreach(target IN ITEMS sm_80 gfx90a gfx1100)
  add_test(NAME gpu_latents_${target} COMMAND conformance --backend gpu-shim --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim>
    --option target=${target} --option order=seeded --option processors=64 --guards --family attention_latent,attention_latent_wide)
  set_tests_properties(gpu_latents_${target} PROPERTIES LABELS conformance TIMEOUT 900)
endforeach()

# Products by warpgroups: the planner gives them to few of the sizes that conformance cases have, so they are asked for by name.
set(warpgroups conformance --backend gpu-shim --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim>
  --option target=sm_90a --each tiles=wgmma128x128,wgmma128x256 --guards)
foreach(family IN ITEMS matmul matmul_w8a8 matmul_tall matmul_fp8 matmul_int4_zp matmul_mxfp4 matmul_nvfp4 matmul_gguf
    grouped_matmul_wide grouped_matmul_fp8 grouped_matmul_int4_zp grouped_matmul_mxfp4)
  add_test(NAME gpu_warpgroups_${family} COMMAND ${warpgroups} --option order=seeded --family ${family})
  set_tests_properties(gpu_warpgroups_${family} PROPERTIES LABELS conformance TIMEOUT 900)
endforeach()
# Products whose blocks share K, which a device of eight processors makes by warpgroups (choice_test.cpp).
add_test(NAME gpu_warpgroups_split COMMAND conformance --backend gpu-shim
  --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> --option target=sm_90a --option processors=8
  --each order=forward,reverse,seeded --guards --family matmul_long)
set_tests_properties(gpu_warpgroups_split PROPERTIES LABELS conformance TIMEOUT 900)
# Products whose steps are divided equally among blocks: shares of many panels, and panels of many shares.
foreach(family IN ITEMS matmul matmul_w8a8 matmul_long matmul_gated_bias matmul_tall)
  add_test(NAME gpu_stream_k_${family} COMMAND conformance --backend gpu-shim
    --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> --option target=sm_90a --option tiles=streamk128x256
    --each processors=1,5,48 --option order=seeded --guards --family ${family})
  set_tests_properties(gpu_stream_k_${family} PROPERTIES LABELS conformance TIMEOUT 900)
endforeach()
# Products of clusters of blocks: with few rows of x, which the blocks share, and with many, where they share the weight.
foreach(family IN ITEMS matmul matmul_w8a8 matmul_long matmul_gated_bias matmul_tall matmul_tall_w8a8)
  add_test(NAME gpu_clusters_${family} COMMAND conformance --backend gpu-shim
    --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> --option target=sm_90a
    --each tiles=cluster128x128,cluster128x256 --each processors=2,7 --option order=seeded --guards --family ${family})
  set_tests_properties(gpu_clusters_${family} PROPERTIES LABELS conformance TIMEOUT 900)
endforeach()
# And attention, which sm_90a makes by them unless it is told otherwise.
foreach(family IN ITEMS attention attention_wide attention_long attention_chunks)
  add_test(NAME gpu_warpgroups_${family} COMMAND conformance --backend gpu-shim
    --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> --option target=sm_90a --option attention=wgmma
    --each order=forward,reverse,seeded --guards --family ${family})
  set_tests_properties(gpu_warpgroups_${family} PROPERTIES LABELS conformance TIMEOUT 1800)
endforeach()
add_test(NAME gpu_warpgroups_long COMMAND ${warpgroups} --each order=forward,reverse,seeded)
set_tests_properties(gpu_warpgroups_long PROPERTIES LABELS "conformance;long" TIMEOUT 7200)

# Groups of 32 columns with quantized activations, on targets whose int8 products are 32 and 16 deep; groups with zero points, with
# powers of two, or with scales of both sides for 128 columns; groups of 16; and blocks of GGUF.
foreach(target IN ITEMS sm_80 gfx90a gfx1100)
  foreach(family IN ITEMS matmul grouped_matmul)
    add_test(NAME gpu_groups_${family}_${target} COMMAND conformance --backend gpu-shim
      --modules $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> --option target=${target} --option order=seeded
      --each tiles=auto,64x64 --guards
      --family ${family}_g32_w8a8,${family}_int4_zp,${family}_mxfp4,${family}_nvfp4,${family}_fp8_g128,${family}_gguf)
    set_tests_properties(gpu_groups_${family}_${target} PROPERTIES LABELS conformance TIMEOUT 900)
  endforeach()
endforeach()
