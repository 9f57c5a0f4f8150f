package chart

import (
	"context"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	security "k8s.io/pod-security-admission/policy"
)

// What the API server does with a new object of each kind: prepare, validate, warn.
var strategies = map[string]rest.RESTCreateStrategy{
	"ConfigMap":               configmap.Strategy,
	"Deployment":              deployment.Strategy,
	"HorizontalPodAutoscaler": horizontalpodautoscaler.Strategy,
	"Job":                     job.Strategy,
	"NetworkPolicy":           networkpolicy.Strategy,
	"PersistentVolumeClaim":   persistentvolumeclaim.Strategy,
	"Pod":                     pod.Strategy,
	"PodDisruptionBudget":     poddisruptionbudget.Strategy,
	"Service":                 service.Strategy,
	"ServiceAccount":          serviceaccount.Strategy,
}

// Kinds that are not Kubernetes' own: read strictly, but validated by nobody here.
var custom = map[string]bool{"ServiceMonitor": true, "PrometheusRule": true}

// admit fails unless an API server would store the object, and without a warning.
func admit(t *testing.T, object runtime.Object) {
	t.Helper()
	kind := object.GetObjectKind().GroupVersionKind()
	named, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	if named.GetNamespace() != namespace {
		t.Errorf("%s %s is in namespace %q", kind.Kind, named.GetName(), named.GetNamespace())
	}
	if custom[kind.Kind] {
		return
	}
	strategy, known := strategies[kind.Kind]
	if !known {
		t.Fatalf("no validation for %s", kind.Kind)
	}
	defaulted := object.DeepCopyObject()
	legacyscheme.Scheme.Default(defaulted)
	if service, found := defaulted.(*core.Service); found && service.Spec.ClusterIP != "" {
		// The server does so before it allocates addresses.
		service.Spec.ClusterIPs = []string{service.Spec.ClusterIP}
	}
	internal, err := legacyscheme.Scheme.ConvertToVersion(defaulted, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		t.Fatal(err)
	}
	filled, err := meta.Accessor(internal)
	if err != nil {
		t.Fatal(err)
	}
	rest.FillObjectMetaSystemFields(filled)
	if err := rest.BeforeCreate(strategy, creating(kind), internal); err != nil {
		t.Errorf("%s %s: %v", kind.Kind, named.GetName(), err)
	}
	for _, warning := range strategy.WarningsOnCreate(creating(kind), internal) {
		t.Errorf("%s %s: warning: %s", kind.Kind, named.GetName(), warning)
	}
}

func creating(kind schema.GroupVersionKind) context.Context {
	info := &request.RequestInfo{Verb: "create", APIGroup: kind.Group, APIVersion: kind.Version, Namespace: namespace}
	return request.WithRequestInfo(request.WithNamespace(context.Background(), namespace), info)
}

// restrict fails unless the Pod Security standard "restricted" allows such a Pod.
func restrict(t *testing.T, name string, pod core.PodTemplateSpec) {
	t.Helper()
	for _, check := range security.DefaultChecks() {
		newest := check.Versions[len(check.Versions)-1]
		labels := metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}
		if result := newest.CheckPod(&labels, &pod.Spec); !result.Allowed {
			t.Errorf("%s is not restricted: %s (%s)", name, result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}
