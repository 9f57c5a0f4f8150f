// Package chart tests helm/asterism: what it renders, and what it refuses.
//
// It is built once for each version of Kubernetes (the *.mod files), from that version's own types, defaults and
// validation: what passes here is what an API server of that version would store.
package chart

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

const (
	root      = "../.."
	chart     = "helm/asterism"
	folder    = root + "/" + chart
	namespace = "suite"
)

// release is what the chart renders, by kind.
type release struct {
	objects     []runtime.Object
	configMaps  []*core.ConfigMap
	services    []*core.Service
	accounts    []*core.ServiceAccount
	volumes     []*core.PersistentVolumeClaim
	deployments []*apps.Deployment
	jobs        []*batch.Job
	autoscalers []*autoscaling.HorizontalPodAutoscaler
	budgets     []*policy.PodDisruptionBudget
	policies    []*networking.NetworkPolicy
	monitors    []*monitoring.ServiceMonitor
	rules       []*monitoring.PrometheusRule
	checks      []*core.Pod
}

// kubernetes is the version these tests were built for, like v1.36.3.
func kubernetes(t *testing.T) string {
	t.Helper()
	version := os.Getenv("KUBERNETES")
	if version == "" {
		t.Fatal("KUBERNETES is not set: run tests/chart/run")
	}
	return version
}

// helm runs helm; its output is the standard one, or when it fails what it complained about.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		program = "helm"
	}
	var out, complaints bytes.Buffer
	command := exec.Command(program, append(args, "--kube-version", kubernetes(t))...)
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		if !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		return out.String() + complaints.String(), err
	}
	return out.String(), nil
}

// Manifests by what they were made from: many tests look at the same.
var rendered sync.Map

// render renders the chart with these values, and reads what comes out as strictly as an API server can.
func render(t *testing.T, valuesFile string, more ...string) release {
	t.Helper()
	args := append([]string{"template", "try", folder, "--namespace", namespace, "--values", valuesFile}, more...)
	manifests, found := rendered.Load(strings.Join(args, " "))
	if !found {
		var err error
		if manifests, err = helm(t, args...); err != nil {
			t.Fatal(manifests)
		}
		rendered.Store(strings.Join(args, " "), manifests)
	}
	return read(t, manifests.(string))
}

// values is a file of values/.
func values(name string) string { return filepath.Join("values", name+".yaml") }

// valuesOf writes values to a file.
func valuesOf(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func init() {
	if err := monitoring.AddToScheme(legacyscheme.Scheme); err != nil {
		panic(err)
	}
}

func read(t *testing.T, manifests string) release {
	t.Helper()
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(manifests)))
	var all release
	for {
		document := make([]byte, len(manifests)+1)
		length, err := documents.Read(document)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(withoutComments(document[:length]))) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document[:length], nil, nil)
		if err != nil {
			t.Fatalf("%v, in\n%.300s…", err, document[:length])
		}
		all.add(t, object)
	}
}

func withoutComments(document []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(document) {
		if !bytes.HasPrefix(line, []byte("#")) && !bytes.HasPrefix(line, []byte("---")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

func (r *release) add(t *testing.T, object runtime.Object) {
	t.Helper()
	r.objects = append(r.objects, object)
	switch object := object.(type) {
	case *core.ConfigMap:
		r.configMaps = append(r.configMaps, object)
	case *core.Service:
		r.services = append(r.services, object)
	case *core.ServiceAccount:
		r.accounts = append(r.accounts, object)
	case *core.PersistentVolumeClaim:
		r.volumes = append(r.volumes, object)
	case *apps.Deployment:
		r.deployments = append(r.deployments, object)
	case *batch.Job:
		r.jobs = append(r.jobs, object)
	case *core.Pod:
		r.checks = append(r.checks, object)
	case *autoscaling.HorizontalPodAutoscaler:
		r.autoscalers = append(r.autoscalers, object)
	case *policy.PodDisruptionBudget:
		r.budgets = append(r.budgets, object)
	case *networking.NetworkPolicy:
		r.policies = append(r.policies, object)
	case *monitoring.ServiceMonitor:
		r.monitors = append(r.monitors, object)
	case *monitoring.PrometheusRule:
		r.rules = append(r.rules, object)
	default:
		t.Fatalf("the chart makes a %T, which no test looks at", object)
	}
}
