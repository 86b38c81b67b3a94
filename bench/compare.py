"""Runs peers and cosface on the same work by turns and prints the table of ratios as Markdown.

Each round measures, for each piece of work, the peers and then cosface, each in a process of its own. A measurement is
the median of several steps; a side's figure is the best round of its best configuration, so that what else runs on the
machine hurts neither side more. The spread is that of the ratio within the single rounds.

Work:
  train NETWORK      forward, margin head (1000 classes), backward, SGD with momentum, batch 32
  embed NETWORK N    forward, batch N
  head C             margin head alone, N = 256, D = 512: loss and both gradients. PyTorch does not update the centres;
                     cosface is measured without and with that update

PyTorch runs in f32 and bf16 (autocast to train, weights in bf16 to embed), contiguous and channels_last; ONNX Runtime in
f32. Where PyTorch has no convolutions in bf16 for the processor (without AVX-512) its bf16 is left out: it falls back to
plain loops, ten times slower than its f32 and more. The `mobile` network of the peers is the stack of table 1 of
arXiv:1804.07573 with a linear layer in place of the global depthwise convolution.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import time

WORK = [
    "train tiny", "train sphereface20", "train mobile", "train iresnet50",
    "embed sphereface20 32", "embed sphereface20 1", "embed mobile 32", "embed mobile 1",
    "embed iresnet50 32", "embed iresnet50 1", "head 100000",
]


def main():
    parser = argparse.ArgumentParser(
        prog="compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the cosface program")
    parser.add_argument("--rounds", type=int, default=3, help="times that every side is measured (3)")
    parser.add_argument("--work", action="append", metavar="WORK",
                        help="only this work, as a row names it: " + "; ".join(WORK) + "; head C for any C")
    parser.add_argument("--threads", type=int, default=0, help="threads of every side, 0 for one on each processor (0)")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(*arguments.peer, arguments.threads)
    if not arguments.program:
        parser.error("--program is missing: the file of a release build of cosface")
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1: {arguments.rounds}")
    for work in arguments.work or []:
        if work not in WORK and not (work.startswith("head ") and work[5:].isdigit() and int(work[5:]) > 0):
            parser.error(f"unknown work, expected one of {'; '.join(WORK)}: {work}")
    compare(arguments)


def compare(arguments):
    runs = {work: [] for work in arguments.work or WORK}
    for number in range(arguments.rounds):
        for work in runs:
            print(f"round {number + 1} of {arguments.rounds}: {work}", file=sys.stderr)
            peers = []
            for name in ["torch"] + ["onnxruntime"] * work.startswith("embed"):
                command = [sys.executable, __file__, "--threads", str(arguments.threads), "--peer", name, work]
                peers += lines_of(command, optional=name != "torch")
            runs[work].append((peers, cosface(arguments, work)))
    print_table(runs)


def lines_of(command, optional=False):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        if optional:
            print(f"left out: {' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return []
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def cosface(arguments, work):
    kind, *rest = work.split()
    command = [arguments.program, "bench", kind, "--threads", str(arguments.threads)]
    if kind == "head":
        command += ["--classes", rest[0]]
    else:
        command += ["--network", rest[0]] + (["--batch", rest[1]] if kind == "embed" else [])
    # Training in bf16 halves what memory moves on every processor; products alone are only emulated where it has none.
    rows = lines_of(command + ["--precision", "bf16" if kind == "train" else "auto"])
    return rows if all(row["precision"] == "f32" for row in rows) else rows + lines_of(command + ["--precision", "f32"])


def print_table(runs):
    print("| work | peer's best | ms | MB | cosface | ms | MB | ratio | rounds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for work, rounds in runs.items():
        updates = sorted({row.get("update", "") for _, rows in rounds for row in rows})
        for update in updates:
            # The best of all against the best of all, then f32 against f32.
            for only in ("", "f32"):
                sides = [
                    (chosen(peers, only), [row for row in chosen(rows, only) if row.get("update", "") == update])
                    for peers, rows in rounds
                ]
                peer_best = best([row for peers, _ in sides for row in peers])
                own_best = best([row for _, rows in sides for row in rows])
                ratios = [best(peers)["milliseconds"] / best(rows)["milliseconds"] for peers, rows in sides]
                cells = [work + (", f32" if only else "")]
                for row in (peer_best, own_best):
                    cells += [configuration(row), f"{row['milliseconds']:.1f}", f"{row['peak_rss_mb']}"]
                cells += [f"{peer_best['milliseconds'] / own_best['milliseconds']:.2f}",
                          f"{min(ratios):.2f} to {max(ratios):.2f}"]
                print("| " + " | ".join(cells) + " |")
    first = next(iter(runs.values()))[0][1][0]
    print(f"\n{first['processor']}, {first['threads']} threads, {first['isa']}.")


def best(rows):
    return min(rows, key=lambda row: row["milliseconds"])


def chosen(rows, precision):
    return [row for row in rows if precision in configuration(row)]


def configuration(row):
    if "peer" in row:
        return row["peer"]
    return ", ".join([row["precision"]] + ([f"update {row['update']}"] if "update" in row else []))


# What follows runs in a process of its own for one peer and one piece of work.


def peer(name, work, threads):
    import torch

    torch.manual_seed(0)
    if threads:
        torch.set_num_threads(threads)
    kind, *rest = work.split()
    if name == "onnxruntime":
        embed_onnx(rest[0], int(rest[1]), threads)
    elif kind == "train":
        train(rest[0])
    elif kind == "embed":
        embed(rest[0], int(rest[1]))
    else:
        head(int(rest[0]))


def report(name, seconds):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"peer": name, "milliseconds": 1e3 * seconds, "peak_rss_mb": peak}), flush=True)


def median_seconds(step, runs=9, warm=2, limit=10.0):
    for _ in range(warm):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or (len(times) < runs and time.perf_counter() - start < limit):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def networks():
    import torch.nn as nn

    class Residual(nn.Module):
        def __init__(self, body, shortcut=None):
            super().__init__()
            self.body, self.shortcut = body, shortcut or nn.Identity()

        def forward(self, x):
            return self.shortcut(x) + self.body(x)

    def convolution(cin, cout, size, stride=1, groups=1, bias=False):
        return nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=bias)

    def sphereface(channels, height, width):
        layers, cin = [], 3
        for c, units in zip(channels, (1, 2, 4, 1)):
            layers += [convolution(cin, c, 3, 2, bias=True), nn.PReLU(c)]
            for _ in range(units):
                layers.append(Residual(nn.Sequential(
                    convolution(c, c, 3), nn.PReLU(c), convolution(c, c, 3), nn.PReLU(c))))
            cin, height, width = c, (height + 1) // 2, (width + 1) // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(cin * height * width, 512))

    def mobile():
        layers, cin = [convolution(3, 64, 3, 2), nn.BatchNorm2d(64), nn.PReLU(64)], 64
        for factor, c, units, stride in [(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)]:
            for unit in range(units):
                m, step = cin * factor, stride if unit == 0 else 1
                body = nn.Sequential(
                    convolution(cin, m, 1), nn.BatchNorm2d(m), nn.PReLU(m),
                    convolution(m, m, 3, step, m), nn.BatchNorm2d(m), nn.PReLU(m),
                    convolution(m, c, 1), nn.BatchNorm2d(c))
                layers.append(Residual(body) if step == 1 and cin == c else body)
                cin = c
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 7 * 6, 512))

    def iresnet50():
        layers, cin = [convolution(3, 64, 3), nn.BatchNorm2d(64), nn.PReLU(64)], 64
        for c, blocks in zip((64, 128, 256, 512), (3, 4, 14, 3)):
            for block in range(blocks):
                stride = 2 if block == 0 else 1
                body = nn.Sequential(
                    nn.BatchNorm2d(cin), convolution(cin, c, 3), nn.BatchNorm2d(c), nn.PReLU(c),
                    convolution(c, c, 3, stride), nn.BatchNorm2d(c))
                shortcut = nn.Sequential(convolution(cin, c, 1, 2), nn.BatchNorm2d(c)) if block == 0 else None
                layers.append(Residual(body, shortcut))
                cin = c
        return nn.Sequential(
            *layers, nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512))

    return {
        "sphereface20": (lambda: sphereface((64, 128, 256, 512), 112, 96), (112, 96)),
        "tiny": (lambda: sphereface((16, 32, 64, 128), 56, 48), (56, 48)),
        "mobile": (mobile, (112, 96)),
        "iresnet50": (iresnet50, (112, 112)),
    }


def margin_head(classes, scale=64.0, m=0.35):
    import torch
    import torch.nn.functional as functional

    class Margin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.randn(classes, 512) * 0.01)

        def forward(self, x, y):
            directions = functional.normalize(self.w).to(x.dtype)
            cosines = functional.linear(functional.normalize(x.float()).to(x.dtype), directions).float()
            cosines = cosines.scatter_add(1, y[:, None], torch.full((len(y), 1), -m))
            return functional.cross_entropy(cosines * scale, y)

    return Margin()


def configurations():
    import torch

    precisions = (False, True) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else (False,)
    return [(bf16, last) for last in (False, True) for bf16 in precisions]


def name_of(bf16, last):
    return f"PyTorch {'bf16' if bf16 else 'f32'}{', channels_last' if last else ''}"


def laid_out(x, last):
    import torch

    return x.to(memory_format=torch.channels_last) if last else x


def train(network, batch=32):
    import torch

    make, size = networks()[network]
    for bf16, last in configurations():
        net, head = laid_out(make(), last), margin_head(1000)
        x, y = laid_out(torch.randn(batch, 3, *size), last), torch.randint(0, 1000, (batch,))
        parameters = [*net.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, weight_decay=5e-4)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                features = net(x)
            head(features.float(), y).backward()
            optimizer.step()

        report(name_of(bf16, last), median_seconds(step))


def embed(network, batch):
    import torch

    make, size = networks()[network]
    for bf16, last in configurations():
        dtype = torch.bfloat16 if bf16 else torch.float32
        net = laid_out(make().eval().to(dtype), last)
        x = laid_out(torch.randn(batch, 3, *size, dtype=dtype), last)
        with torch.inference_mode():
            report(name_of(bf16, last), median_seconds(lambda: net(x), 15))


def embed_onnx(network, batch, threads):
    import onnxruntime
    import torch

    make, size = networks()[network]
    x, file = torch.randn(batch, 3, *size), io.BytesIO()
    torch.onnx.export(make().eval(), (x,), file, input_names=["image"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"image": x.numpy()}
    report("ONNX Runtime f32", median_seconds(lambda: session.run(None, feed), 15))


def head(classes):
    import torch

    x, y = torch.randn(256, 512, requires_grad=True), torch.randint(0, classes, (256,))
    for bf16 in (False, True):
        margin = margin_head(classes)

        def step():
            x.grad = margin.w.grad = None
            margin(x.bfloat16() if bf16 else x, y).backward()

        report(name_of(bf16, False), median_seconds(step, 5, 1))


if __name__ == "__main__":
    main()
