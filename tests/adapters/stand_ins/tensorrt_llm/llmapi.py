"""The part of tensorrt_llm.llmapi that the adapter uses."""


class KvCacheConfig:
    def __init__(self, enable_block_reuse=True, free_gpu_memory_fraction=0.9):
        self.enable_block_reuse = enable_block_reuse
        self.free_gpu_memory_fraction = free_gpu_memory_fraction
