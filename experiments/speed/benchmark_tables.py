"""The tables of `benchmark`, as Markdown."""

from collections.abc import Callable

from experiments.speed.timing import Result

PRECISIONS = ("float32", "bfloat16")


def table(result: Result) -> str:
    """Everything as Markdown; a dash where nothing was measured."""
    columns = {}
    for precision in PRECISIONS:
        columns[f"{precision}, widths 32/64"] = result[precision]
        if "wide" in result[precision]:
            columns[f"{precision}, widths 128/64"] = result[precision]["wide"]
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---" * (1 + len(columns)) + "|"]

    def row(name: str, cell: Callable[[Result], str]) -> None:
        cells = []
        for column in columns.values():
            try:
                cells.append(cell(column))
            except KeyError:  # not measured for this one
                cells.append("-")
        lines.append("| " + " | ".join([name, *cells]) + " |")

    def milliseconds(step: Result) -> str:
        low, high = step["step_ms_quartiles"]
        return f"{step['step_ms']:.1f} ({low:.1f} to {high:.1f})"

    def fraction(step: Result) -> str:
        low, high = step["fraction_quartiles"]
        return f"{step['fraction_of_limit']:.2f} ({low:.2f} to {high:.2f})"

    rate = result["float32"]["with_dropout"]["drop_rate"]
    row("train step, ms (quartiles)", milliseconds)
    row("images/s", lambda c: f"{c['images_per_second']:,.0f}")
    row("GFLOP per step", lambda c: f"{c['gflop_per_step']:.1f}")
    row("limit: matrix product, GFLOP/s", lambda c: f"{c['limit_gflops']:,.0f}")
    row("fraction of the limit (quartiles)", fraction)
    row(f"step with dropout {rate:g}, ms (quartiles)", lambda c: milliseconds(c["with_dropout"]))
    row("fraction of the limit (quartiles)", lambda c: fraction(c["with_dropout"]))
    row("what the train loop adds", lambda c: f"{c['loop']['overhead_fraction']:.1%}")
    row("evaluation, images/s", lambda c: f"{c['evaluation_images_per_second']:,.0f}")
    row("command to first step, s", lambda c: f"{c['first_step_seconds']:.1f}")
    row("peak memory, MB", lambda c: f"{c['peak_memory_mb']:,}")
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| data pipeline alone, images/s | {result['pipeline_images_per_second']:,.0f} |",
        "| the same, images read from a file (`--memory_budget_gb`) "
        f"| {result['disk_images_per_second']:,.0f} |",
    ]
    for size, found in result["inference"].items():
        lines.append(
            f"| SavedModel, batch {size}: ms (90%, 99%), images/s | {found['p50_ms']:.2f} "
            f"({found['p90_ms']:.2f}, {found['p99_ms']:.2f}), {found['images_per_second']:,.0f} |"
        )
    lines += [
        f"| SavedModel, batch {max(map(int, result['inference']))}, of the bare forward pass "
        f"| {result['inference_fraction_of_forward']:.2f} |",
        f"| on | {result['hardware']} |",
        f"| TensorFlow | {result['versions'].get('tensorflow', '')} |",
        f"| the whole benchmark, s | {result['benchmark_seconds']:,} |",
    ]
    if "growth" in result:
        lines += ["", *growth_table(result["growth"])]
    return "\n".join(lines)


def growth_table(growth: Result) -> list[str]:
    """The lines of its two tables."""
    lines = [
        "| float32 | step, ms | images/s | GFLOP per step | fraction of the limit | peak, MB |",
        "|---|---|---|---|---|---|",
    ]
    points = [(f"batch size {point['batch_size']}", point) for point in growth["batch_size"]]
    points += [
        (f"widths {point['generator_width']}/{point['discriminator_width']}", point)
        for point in growth["width"]
    ]
    lines += [
        f"| {name} | {point['step_ms']:.1f} | {point['images_per_second']:,.0f} "
        f"| {point['gflop_per_step']:.1f} | {point['fraction_of_limit']:.2f} "
        f"| {point['peak_memory_mb']:,} |"
        for name, point in points
    ]
    lines += [
        "",
        "| images in memory | first batch, s | data pipeline, images/s | peak, MB |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {point['images']:,} | {point['first_batch_seconds']:.2f} "
        f"| {point['images_per_second']:,.0f} | {point['peak_memory_mb']:,} |"
        for point in growth["images"]
    ]
