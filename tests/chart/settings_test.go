package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// What programs can be told, but not through this chart.
var notOffered = []string{
	"ASTERISM_CLOCK_START",         // for rehearsals on old data
	"ASTERISM_DATABASE_URL",        // a file instead
	"ASTERISM_LOYALTY_SIGNING_KEY", // a file instead
}

func source(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var variable = regexp.MustCompile(`env = "(ASTERISM_[A-Z_]+)"`)

func variablesIn(texts ...string) (names []string) {
	for _, found := range variable.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		names = append(names, found[1])
	}
	return names
}

// known are the variables that each program reads, as its sources say. It refuses any other.
func known(t *testing.T) map[string][]string {
	t.Helper()
	config := func(name string) string { return source(t, "libs/common/src/config", name+".rs") }
	stores, redis, found := strings.Cut(config("stores"), "/// The cache.")
	redis, peers, foundToo := strings.Cut(redis, "/// Where the other services are.")
	if !found || !foundToo {
		t.Fatal("stores.rs no longer tells databases, the cache and the other services from each other")
	}
	shared := variablesIn(config("server"), config("auth"), config("telemetry"), config("tls"), stores)
	alone := variablesIn(redis, peers, source(t, "libs/common/src/process.rs"))
	suite := variablesIn(peers, source(t, "services/asterism/src/suite.rs"))
	programs := map[string][]string{"asterism": slices.Concat(shared, suite)}
	for _, name := range []string{"customer-profile", "segmentation", "loyalty-points", "feedback"} {
		own := variablesIn(source(t, "services", name, "src/config.rs"))
		programs[name] = slices.Concat(shared, alone, own)
		programs["asterism"] = append(programs["asterism"], own...)
	}
	return programs
}

func TestEveryProgramKnowsItsVariables(t *testing.T) {
	programs := known(t)
	everyRelease(t, func(t *testing.T, all release) {
		for name, pod := range all.pods() {
			program := pod.Spec.Containers[0].Command[0]
			for variable := range all.variables(t, pod) {
				if !slices.Contains(programs[program], variable) {
					t.Errorf("%s: %s refuses %s", name, program, variable)
				}
			}
		}
	})
}

func TestEverySettingIsOffered(t *testing.T) {
	offered := map[string]bool{}
	for _, name := range notOffered {
		offered[name] = true
	}
	for _, name := range []string{"everything", "embedded-open"} {
		all := render(t, values(name))
		for _, pod := range all.pods() {
			for variable := range all.variables(t, pod) {
				offered[variable] = true
			}
		}
	}
	for program, variables := range known(t) {
		for _, variable := range variables {
			if !offered[variable] {
				t.Errorf("%s reads %s, which the chart does not offer (or values/everything.yaml does not try)", program, variable)
			}
		}
	}
}

// keys are the paths of all keys, without what settings and labels may hold.
func keys(node any, path string, found map[string]bool) {
	mapping, _ := node.(map[string]any)
	for key, value := range mapping {
		found[path+key] = true
		keys(value, path+key+".", found)
	}
}

func TestTheSchemaAndTheValuesNameTheSame(t *testing.T) {
	var defaults, schema map[string]any
	if err := yaml.Unmarshal([]byte(source(t, chart, "values.yaml")), &defaults); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(source(t, chart, "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	named, described := map[string]bool{}, map[string]bool{}
	keys(defaults, "", named)
	describe(schema, schema, "", described)
	// What a service takes from `defaults` is said there, settings by the programs, and `global` is Helm's.
	taken := regexp.MustCompile(`^(services\.[a-z-]+\.(?:replicas|resources|autoscaling|disruptionBudget|topologySpread|nodeSelector|tolerations|affinity|priorityClassName)\b.*|.*settings\.ASTERISM_.*|global)$`)
	for _, path := range slices.Sorted(maps.Keys(described)) {
		if !named[path] && !taken.MatchString(path) {
			t.Errorf("the schema knows %s, which values.yaml does not show", path)
		}
	}
	open := regexp.MustCompile(`^(defaults|embedded)\.resources\.|^networkPolicy\.(clients|monitoring|dns)|\.labels\.`)
	for _, path := range slices.Sorted(maps.Keys(named)) {
		if !described[path] && !open.MatchString(path) {
			t.Errorf("values.yaml shows %s, which the schema does not describe", path)
		}
	}
}

// describe collects the paths of all properties of a schema.
func describe(schema, node map[string]any, path string, found map[string]bool) {
	if reference, _ := node["$ref"].(string); reference != "" {
		definitions := schema["definitions"].(map[string]any)
		describe(schema, definitions[strings.TrimPrefix(reference, "#/definitions/")].(map[string]any), path, found)
	}
	parts, _ := node["allOf"].([]any)
	for _, part := range parts {
		describe(schema, part.(map[string]any), path, found)
	}
	properties, _ := node["properties"].(map[string]any)
	for name, property := range properties {
		inner, allowed := property.(map[string]any)
		if !allowed {
			delete(found, path+name)
			for known := range found {
				if strings.HasPrefix(known, path+name+".") {
					delete(found, known)
				}
			}
			continue
		}
		found[path+name] = true
		describe(schema, inner, path+name+".", found)
	}
	if properties != nil && node["additionalProperties"] == nil && node["allOf"] == nil && path != "" && !strings.HasSuffix(path, "settings.") {
		found["! "+path+" is open to any key"] = true
	}
}

func TestEveryValueIsExplained(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(source(t, chart, "values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	explained(t, document.Content[0], "")
}

// Keys of which another comment speaks: the services' names, what repeats the first service, and what is Kubernetes'.
var spokenOf = regexp.MustCompile(`^services\.[a-z-]+$|^services\.(segmentation|loyalty-points|feedback)\.database\.|\.resources\.|\.labels\.`)

func explained(t *testing.T, node *yaml.Node, path string) {
	t.Helper()
	if node.Kind != yaml.MappingNode {
		return
	}
	for index := 0; index < len(node.Content); index += 2 {
		key, value := node.Content[index], node.Content[index+1]
		if !strings.HasPrefix(key.HeadComment, "# --") && !spokenOf.MatchString(path+key.Value) {
			t.Errorf("%s%s has no comment", path, key.Value)
		}
		explained(t, value, path+key.Value+".")
	}
}
