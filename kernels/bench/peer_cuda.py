"""peer_cuda.py FOLDER - training steps of PyTorch on a GPU, for the models that mixgrid bench times.

FOLDER holds models.py, the PyTorch side of the comparison. A step is zero_grad, forward, loss,
backward, fused AdamW; batch 64, 2 layers, labels on all positions, one batch used again and again.
Three ways: eager float32; the whole step as one CUDA graph, float32 and TF32, which is as careful as
a user gets without writing kernels. Medians over at least 20 steps, timed with events. One Markdown
table on standard output.
"""
import statistics
import sys

import torch

sys.path.insert(0, sys.argv[1])
from models import LM  # noqa: E402

SHAPES = [  # kind, width, length, vocabulary, heads
    ("cat", 64, 64, 256, 1),
    ("cat", 64, 256, 256, 1),
    ("cat", 64, 64, 8192, 1),
    ("cat", 128, 256, 8192, 1),
    ("transformer", 64, 64, 256, 1),
    ("transformer", 128, 256, 256, 4),
]
BATCH, LAYERS, STEPS = 64, 2, 20


def median_ms(step):
    times = []
    for _ in range(STEPS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def make_step(kind, width, length, vocab, heads):
    torch.manual_seed(1)
    model = LM(kind, vocab, width, LAYERS, heads, length, 4, sdpa=True).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True, capturable=True)
    ids = torch.randint(vocab, (BATCH, length), device="cuda")
    labels = torch.randint(vocab, (BATCH, length), device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(ids, labels, False).backward()
        optimizer.step()

    return step


def graphed(step):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def main():
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, ms per step, labels on all positions\n")
    print("| model | eager | graph | graph, TF32 |\n|---|---:|---:|---:|")
    for shape in SHAPES:
        times = []
        for tf32, wrap in ((False, lambda s: s), (False, graphed), (True, graphed)):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
            step = wrap(make_step(*shape))
            for _ in range(5):
                step()
            times.append(median_ms(step))
        kind, width, length, vocab, heads = shape
        row = " | ".join(f"{t:.3f}" for t in times)
        print(f"| {kind} d{width} T{length} V{vocab} H{heads} B{BATCH} full | {row} |", flush=True)


main()
