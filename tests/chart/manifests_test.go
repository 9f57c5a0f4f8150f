package chart

import (
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// everyRelease runs a check on what each file of values/ renders to.
func everyRelease(t *testing.T, check func(t *testing.T, all release)) {
	t.Helper()
	files, err := filepath.Glob(values("*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no values", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			check(t, render(t, file))
		})
	}
}

// pods are the Pods of a release, by the name of what makes them.
func (r *release) pods() map[string]core.PodTemplateSpec {
	pods := map[string]core.PodTemplateSpec{}
	for _, deployment := range r.deployments {
		pods[deployment.Name] = deployment.Spec.Template
	}
	for _, job := range r.jobs {
		pods[job.Name] = job.Spec.Template
	}
	for _, check := range r.checks {
		pods[check.Name] = core.PodTemplateSpec{ObjectMeta: check.ObjectMeta, Spec: check.Spec}
	}
	return pods
}

func TestHelmFindsNothingToComplainAbout(t *testing.T) {
	files, _ := filepath.Glob(values("*"))
	for _, file := range files {
		if complaints, err := helm(t, "lint", "--strict", folder, "--values", file); err != nil {
			t.Errorf("%s: %s", file, complaints)
		}
	}
}

func TestTheServerAdmitsEveryObject(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, object := range all.objects {
			admit(t, object)
		}
	})
}

func TestTheLongestNamesStillFit(t *testing.T) {
	for _, name := range []string{strings.Repeat("long", 13), strings.Repeat("asterism", 6)} {
		manifests, err := helm(t, "template", name, folder, "--namespace", namespace, "--values", values("everything"))
		if err != nil {
			t.Fatal(manifests)
		}
		all := read(t, manifests)
		for _, object := range all.objects {
			admit(t, object)
		}
		for _, job := range all.jobs {
			// Kubernetes makes a label of it.
			if len(job.Name) > 63 {
				t.Errorf("%s is %d characters long", job.Name, len(job.Name))
			}
		}
	}
}

func TestEveryPodIsRestricted(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for name, pod := range all.pods() {
			restrict(t, name, pod)
			if !*pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s writes to its image", name)
			}
			if *pod.Spec.AutomountServiceAccountToken {
				t.Errorf("%s has a token for Kubernetes", name)
			}
		}
	})
}

func TestEachValuesFileMakesWhatItSays(t *testing.T) {
	for name, want := range map[string]struct{ deployments, jobs, services, autoscalers, budgets, policies, monitors int }{
		"minimal":       {4, 4, 8, 0, 4, 10, 0},
		"everything":    {4, 6, 8, 3, 3, 10, 1},
		"single":        {4, 4, 8, 0, 0, 0, 0},
		"embedded":      {1, 0, 1, 0, 0, 3, 0},
		"embedded-open": {1, 1, 2, 0, 0, 4, 1},
	} {
		all := render(t, values(name))
		got := want
		got.deployments, got.jobs, got.services = len(all.deployments), len(all.jobs), len(all.services)
		got.autoscalers, got.budgets = len(all.autoscalers), len(all.budgets)
		got.policies, got.monitors = len(all.policies), len(all.monitors)
		if got != want {
			t.Errorf("%s: made %+v, not %+v", name, got, want)
		}
		if len(all.rules) != len(all.monitors) {
			t.Errorf("%s: %d rules", name, len(all.rules))
		}
	}
}
