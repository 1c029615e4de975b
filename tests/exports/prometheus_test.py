"""Tests the exports with the programs that consume them, as the distribution packages them: promtool checks the alerts and the
text; Prometheus scrapes a run, is backfilled with a history and answers every query of the dashboard; node_exporter and the
Pushgateway accept a run.

    python3 prometheus_test.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER UNPACKED

UNPACKED is a folder in which Debian's packages may be unpacked instead of installed. Skipped (77) without promtool and prometheus.
"""

import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse
import urllib.request

from programs import N_NIGHTS, SOURCE, WithRuns, has_credit, program, report_cells

UNPACKED = pathlib.Path(sys.argv[4])
MONITORING = SOURCE / "reports/monitoring"
PATIENCE_S = 60


def tool(name):
    return shutil.which(name) or shutil.which(name, path=str(UNPACKED / "usr/bin"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, data=None, method=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=10) as answer:
        return answer.read().decode()


def eventually(ask):
    """Repeats the question until the answer is neither empty nor an error, and returns it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if answer := ask():
                return answer
        except OSError:
            pass
        assert time.monotonic() < end, "no answer in time"
        time.sleep(0.2)


def promtool(*arguments, stdin=None, status=0):
    run = subprocess.run([tool("promtool"), *map(str, arguments)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    assert run.returncode == status, (arguments, run.returncode, run.stdout)
    return run.stdout


class Served(WithRuns):
    def start(self, *command):
        log = open(self.folder / f"{pathlib.Path(command[0]).name}.log", "w+")
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, cwd=self.folder)
        self.addCleanup(log.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)


class Rules(WithRuns):
    def rules(self, *edit):
        folder = self.folder / "rules"
        folder.mkdir(exist_ok=True)
        shutil.copy(SOURCE / "tests/exports/alerts_test.yaml", folder)
        text = (MONITORING / "alerts.yaml").read_text()
        (folder / "alerts.yaml").write_text(text.replace(*edit) if edit else text)
        return folder / "alerts_test.yaml"

    def test_the_alerts_fire_for_their_reasons_alone(self):
        promtool("check", "rules", MONITORING / "alerts.yaml")
        promtool("test", "rules", self.rules())

    def test_other_alerts_would_be_found(self):
        for edit in (("> 1.10", "> 1.05"), ("> 1.10", "> 1.15"), ("unless secondsource_cell_suspect == 1", ""),
                     ('verdict="failed",tier="blessed"', 'verdict="failed"'), ("36 * 3600", "40 * 3600"),
                     ("failed|invalid", "failed")):
            self.assertIn(edit[0], (MONITORING / "alerts.yaml").read_text())
            promtool("test", "rules", self.rules(*edit), status=1)

    def test_the_text_is_what_prometheus_recommends(self):
        for folder in (self.varied, self.hostile):
            self.assertEqual(promtool("check", "metrics", stdin=program("report", folder, "--format", "openmetrics")), "")


class Prometheus(Served):
    def serve(self, text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_it_scrapes_a_run_takes_in_a_history_and_answers_the_dashboard(self):
        exported = self.folder / "history.om"
        program("history", "export", "--db", self.history, "--branch", "main", "--format", "openmetrics", "--out", exported)
        data = self.folder / "data"
        promtool("tsdb", "create-blocks-from", "openmetrics", exported, data)
        target = self.serve(program("report", self.varied, "--format", "openmetrics"))
        shutil.copy(MONITORING / "alerts.yaml", self.folder)
        (self.folder / "prometheus.yaml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yaml]\nscrape_configs:\n"
            f"  - {{job_name: secondsource, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}\n")
        port = free_port()
        self.start(tool("prometheus"), "--config.file=prometheus.yaml", f"--storage.tsdb.path={data}",
                   "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}")
        api = f"http://127.0.0.1:{port}/api/v1/"

        def query(expression, **more):
            kind = "query_range" if more else "query"
            answer = json.loads(fetch(api + kind + "?" + urllib.parse.urlencode({"query": expression, **more})))
            self.assertEqual(answer["status"], "success", answer)
            return answer["data"]["result"]

        eventually(lambda: query('up{job="secondsource"} == 1'))
        key = ("bundle", "backend", "variant", "scenario")
        for metric, field, divisor in (("ttft_e2e_p50_seconds", "ttft_e2e_p50_ns", 1e9), ("output_tokens_per_second", "output_tok_per_s", 1)):
            expected = {tuple(cell["key"][name] for name in key): cell[field]["value"] / divisor
                        for _, cell in report_cells(self.varied) if has_credit(cell) and cell[field]["value"] is not None}
            found = {tuple(one["metric"][name] for name in key): float(one["value"][1])
                     for one in query(f'secondsource_{metric}{{job="secondsource"}}')}
            self.assertEqual(found, expected)

        def firing():
            alerts = json.loads(fetch(api + "alerts"))["data"]["alerts"]
            names = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
            return {"SecondsourceWrongTokens", "SecondsourceNotMeasured"} <= names

        eventually(firing)

        rows = [json.loads(line) for line in
                program("history", "export", "--db", self.history, "--branch", "main", "--format", "jsonl").splitlines()]
        nights = [row for row in rows if row["scenario"] == "single-stream"]
        self.assertEqual(len(nights), N_NIGHTS)
        for row in nights:
            found, = query(f'secondsource_ttft_e2e_p50_seconds{{branch="main",scenario="single-stream"}}', start=row["started_utc"],
                           end=row["started_utc"], step="1s")
            self.assertEqual([float(value) for _, value in found["values"]], [row["ttft_e2e_p50_ns"] / 1e9])

        dashboard = json.loads((MONITORING / "dashboard.json").read_text())
        self.assertGreater(len(dashboard["panels"]), 8)
        for panel in dashboard["panels"]:
            for one in panel["targets"]:
                expression = one["expr"].replace("$bundle", ".*").replace("$backend", ".*")
                self.assertNotIn("$", expression)
                self.assertGreater(len(query(expression)), 0, panel["title"])
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                label = variable["definition"].rstrip(")").split(", ")[-1]
                self.assertGreater(len(query(f'group by ({label}) (secondsource_cell_golden)')), 0)


class TextFile(Served):
    def test_node_exporter_reads_it_as_a_textfile(self):
        if not tool("prometheus-node-exporter"):
            self.skipTest("prometheus-node-exporter is not installed")
        folder = self.folder / "textfiles"
        folder.mkdir()
        program("report", self.varied, "--format", "openmetrics", "--out", folder / "secondsource.prom")
        port = free_port()
        self.start(tool("prometheus-node-exporter"), "--collector.disable-defaults", "--collector.textfile",
                   f"--collector.textfile.directory={folder}", f"--web.listen-address=127.0.0.1:{port}")
        text = eventually(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))
        self.assertIn("\nnode_textfile_scrape_error 0\n", text)
        self.assert_all_samples_in(text)

    def test_the_pushgateway_takes_it(self):
        if not tool("prometheus-pushgateway"):
            self.skipTest("prometheus-pushgateway is not installed")
        port = free_port()
        self.start(tool("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}")
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: fetch(address + "/-/ready"))
        fetch(address + "/metrics/job/secondsource/instance/here",
              program("report", self.varied, "--format", "openmetrics").encode(), "PUT")
        text = eventually(lambda: fetch(address + "/metrics"))
        self.assertIn('push_failure_time_seconds{instance="here",job="secondsource"} 0\n', text)
        self.assert_all_samples_in(text.replace('instance="here",job="secondsource",', ""))

    def assert_all_samples_in(self, text):
        exported = program("report", self.varied, "--format", "openmetrics").splitlines()
        samples = [line for line in exported if not line.startswith("#")]
        found = [line for line in text.splitlines() if line.startswith("secondsource_")]
        self.assertEqual(len(found), len(samples))
        self.assertEqual(sorted(float(line.split()[-1]) for line in found), sorted(float(line.split()[-1]) for line in samples))


if __name__ == "__main__":
    absent = [name for name in ("promtool", "prometheus") if not tool(name)]
    if absent:
        print(f"skipped: not installed: {', '.join(absent)}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
