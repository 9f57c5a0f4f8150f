package chart

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	yaml "go.yaml.in/yaml/v3"
)

type dashboard struct {
	Title  string
	UID    string
	Panels []struct {
		ID          int
		Title       string
		Description string
		Targets     []struct{ Expr string }
	}
}

func dashboards(t *testing.T, all release) (found []dashboard) {
	t.Helper()
	for _, configMap := range all.configMaps {
		for file, text := range configMap.Data {
			if !strings.HasSuffix(file, ".json") {
				continue
			}
			var board dashboard
			if err := json.Unmarshal([]byte(text), &board); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			found = append(found, board)
		}
	}
	return found
}

// instruments are the sources that name metrics and labels.
func instruments(t *testing.T) string {
	t.Helper()
	folder := "libs/common/src/telemetry"
	return source(t, folder, "metrics.rs") + source(t, folder, "consumers.rs") + source(t, folder, "lookups.rs")
}

// exported are the metrics of the programs, as their source names them and Prometheus writes them.
func exported(t *testing.T) (names []string) {
	t.Helper()
	text := instruments(t)
	underscored := func(name string) string { return strings.ReplaceAll(name, ".", "_") }
	histogram := func(name string) {
		names = append(names, name+"_bucket", name+"_sum", name+"_count")
	}
	for _, found := range regexp.MustCompile(`(counter|gauge|seconds|u64_histogram)\(\s*(?:&meter, )?"([a-z_.]+)"`).FindAllStringSubmatch(text, -1) {
		switch name := underscored(found[2]); found[1] {
		case "counter":
			names = append(names, name+"_total")
		case "gauge":
			names = append(names, name)
		case "seconds":
			histogram(name + "_seconds")
		case "u64_histogram":
			histogram(name)
		}
	}
	if len(names) < 15 {
		t.Fatalf("only %v found in metrics.rs", names)
	}
	return names
}

var (
	metric = regexp.MustCompile(`\b(?:rpc|asterism)_[a-z_]+`)
	label  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
)

func TestExpressionsAskForWhatIsExported(t *testing.T) {
	all := render(t, values("everything"))
	text := instruments(t)
	names := exported(t)
	labels := []string{"namespace", "job"}
	for _, found := range regexp.MustCompile(`(?:label\(|KeyValue::new\()"([a-z_.]+)"`).FindAllStringSubmatch(text, -1) {
		labels = append(labels, strings.ReplaceAll(found[1], ".", "_"))
	}
	check := func(where, expression string) {
		for _, name := range metric.FindAllString(expression, -1) {
			if !slices.Contains(names, name) && !slices.Contains(labels, name) {
				t.Errorf("%s: nobody exports %s", where, name)
			}
		}
		for _, found := range label.FindAllStringSubmatch(expression, -1) {
			if !slices.Contains(labels, found[1]) {
				t.Errorf("%s: no metric has the label %s", where, found[1])
			}
		}
	}
	for _, group := range all.rules[0].Spec.Groups {
		for _, rule := range group.Rules {
			check(rule.Alert+rule.Record, rule.Expr.StrVal)
		}
	}
	for _, board := range dashboards(t, all) {
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				check(board.Title+": "+panel.Title, target.Expr)
			}
		}
	}
}

func TestPicturesAnswerQuestions(t *testing.T) {
	boards := dashboards(t, render(t, values("everything")))
	if len(boards) != 2 {
		t.Fatalf("%d dashboards", len(boards))
	}
	for _, board := range boards {
		seen := map[int]bool{}
		for _, panel := range board.Panels {
			if !strings.HasSuffix(panel.Title, "?") || panel.Description == "" || len(panel.Targets) == 0 || seen[panel.ID] {
				t.Errorf("%s: panel %d %q", board.Title, panel.ID, panel.Title)
			}
			seen[panel.ID] = true
		}
	}
}

func TestTheReadmeExplainsEveryAlert(t *testing.T) {
	readme := source(t, chart, "README.md")
	alerts := map[string]bool{}
	for _, group := range render(t, values("everything")).rules[0].Spec.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				alerts[rule.Alert] = true
			}
		}
	}
	for alert := range alerts {
		if !strings.Contains(readme, "`"+alert+"`") {
			t.Errorf("the README does not explain %s", alert)
		}
	}
	for _, name := range regexp.MustCompile("`(Asterism[A-Za-z]+)`").FindAllStringSubmatch(readme, -1) {
		if !alerts[name[1]] {
			t.Errorf("the README explains %s, which is no alert", name[1])
		}
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	program := os.Getenv("PROMTOOL")
	if program == "" {
		t.Skip("PROMTOOL is not set: alerts are not tried")
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}

// rules writes the rules of a release as Prometheus would get them.
func rules(t *testing.T, rule *monitoring.PrometheusRule, folder string) string {
	t.Helper()
	text, err := json.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "rules.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAlertsRingWhenTheyShould(t *testing.T) {
	folder := t.TempDir()
	all := render(t, values("minimal"), "--set", "monitoring.enabled=true")
	promtool(t, "check", "rules", rules(t, all.rules[0], folder))
	cases, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "alerts.yaml")
	if err := os.WriteFile(file, append([]byte("rule_files: [rules.json]\n"), cases...), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}

// Dashboards have no checker of their own: their expressions are checked as if they were rules.
func TestExpressionsOfDashboardsAreSound(t *testing.T) {
	type rule struct {
		Record string
		Expr   string
	}
	var all []rule
	variables := strings.NewReplacer("$__rate_interval", "1m", "$namespace", "suite", "$job", "feedback")
	for _, board := range dashboards(t, render(t, values("everything"))) {
		for _, panel := range board.Panels {
			for index, target := range panel.Targets {
				name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(panel.Title), "_")
				all = append(all, rule{name + strings.Repeat("_", index), variables.Replace(target.Expr)})
			}
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
