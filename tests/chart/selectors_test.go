package chart

import (
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selected are the names of whatever makes the Pods that a selector means.
func (r *release) selected(t *testing.T, selector *metav1.LabelSelector) (names []string) {
	t.Helper()
	matching, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	for name, pod := range r.pods() {
		if matching.Matches(labels.Set(pod.Labels)) {
			names = append(names, name)
		}
	}
	return names
}

func (r *release) selects(t *testing.T, what string, selector *metav1.LabelSelector, want string) {
	t.Helper()
	if got := r.selected(t, selector); !slices.Equal(got, []string{want}) {
		t.Errorf("%s selects the Pods of %v, not of %s", what, got, want)
	}
}

func TestSelectorsMeanOneDeployment(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, deployment := range all.deployments {
			all.selects(t, "Deployment "+deployment.Name, deployment.Spec.Selector, deployment.Name)
			for _, spread := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
				all.selects(t, "spread of "+deployment.Name, spread.LabelSelector, deployment.Name)
			}
		}
		for _, budget := range all.budgets {
			all.selects(t, "PodDisruptionBudget "+budget.Name, budget.Spec.Selector, budget.Name)
		}
		for _, autoscaler := range all.autoscalers {
			target := autoscaler.Spec.ScaleTargetRef
			if target.Kind != "Deployment" || target.Name != autoscaler.Name || all.pods()[target.Name].Labels == nil {
				t.Errorf("%s scales %v", autoscaler.Name, target)
			}
		}
	})
}

func TestServicesLeadToAPort(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, service := range all.services {
			names := all.selected(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector})
			if len(names) != 1 || (service.Name != names[0] && service.Name != names[0]+"-headless") {
				t.Fatalf("Service %s leads to the Pods of %v", service.Name, names)
			}
			speaks := "kubernetes.io/h2c"
			if all.variables(t, all.pods()[names[0]])["ASTERISM_TLS_CERTIFICATE_FILE"] != "" {
				speaks = "https"
			}
			for _, port := range service.Spec.Ports {
				if containerPort(all.pods()[names[0]], port.TargetPort.StrVal) != port.Port {
					t.Errorf("%s: port %s leads to %v", service.Name, port.Name, port.TargetPort)
				}
				if (port.Name == "grpc") != (port.AppProtocol != nil && *port.AppProtocol == speaks) {
					t.Errorf("%s: protocol of %s is %v", service.Name, port.Name, port.AppProtocol)
				}
			}
			if service.Spec.Type != core.ServiceTypeClusterIP {
				t.Errorf("%s is a %s", service.Name, service.Spec.Type)
			}
		}
	})
}

func TestEveryDeploymentIsScrapedOnce(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, monitor := range all.monitors {
			matching, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			var jobs []string
			for _, service := range all.services {
				if !matching.Matches(labels.Set(service.Labels)) {
					continue
				}
				jobs = append(jobs, service.Labels[monitor.Spec.JobLabel])
				named := func(port core.ServicePort) bool { return port.Name == monitor.Spec.Endpoints[0].Port }
				if !slices.ContainsFunc(service.Spec.Ports, named) {
					t.Errorf("%s has no port %s", service.Name, monitor.Spec.Endpoints[0].Port)
				}
			}
			if len(jobs) != len(all.deployments) || slices.Contains(jobs, "") {
				t.Errorf("scraped are %v", jobs)
			}
		}
	})
}

func TestWhatIsNotNamedIsRefused(t *testing.T) {
	for _, name := range []string{"minimal", "everything", "embedded", "embedded-open"} {
		all := render(t, values(name))
		covered := map[string]int{}
		for _, policy := range all.policies {
			if !slices.Equal(policy.Spec.PolicyTypes, []networking.PolicyType{"Ingress", "Egress"}) {
				t.Errorf("%s: %s leaves a direction open", name, policy.Name)
			}
			for _, pod := range all.selected(t, &policy.Spec.PodSelector) {
				covered[pod]++
			}
			for _, rule := range policy.Spec.Ingress {
				portsExist(t, &all, policy, rule.Ports)
				if len(rule.From) == 0 {
					t.Errorf("%s: %s lets everybody in", name, policy.Name)
				}
			}
		}
		for pod := range all.pods() {
			if covered[pod] != 2 {
				t.Errorf("%s: %d policies are about %s, not its own and the one that denies", name, covered[pod], pod)
			}
		}
	}
}

func portsExist(t *testing.T, all *release, policy *networking.NetworkPolicy, ports []networking.NetworkPolicyPort) {
	t.Helper()
	for _, port := range ports {
		for _, name := range all.selected(t, &policy.Spec.PodSelector) {
			if containerPort(all.pods()[name], port.Port.StrVal) == 0 {
				t.Errorf("%s opens %v, which %s has not", policy.Name, port.Port, name)
			}
		}
	}
}

func TestHolesAreOnlyThoseThatAreNeeded(t *testing.T) {
	const dns, peers, ops = 53, 50051, 9090
	for name, want := range map[string]map[string][]int32{
		"everything": {
			"try-asterism-deny": nil, "try-asterism-check": {dns, dns, peers},
			"try-asterism-loyalty-points": {dns, dns, 6432, peers, 6380, 14317}, "try-asterism-loyalty-points-migrate": {dns, dns, 6432, 14317},
			"try-asterism-feedback": {dns, dns, 6432, peers, 14317}, "try-asterism-feedback-migrate": {dns, dns, 6432, 14317},
			"try-asterism-segmentation": {dns, dns, 6432, peers, 14317}, "try-asterism-segmentation-migrate": {dns, dns, 6432, 14317},
			"try-asterism-customer-profile": {dns, dns, 6432, peers, 14317}, "try-asterism-customer-profile-migrate": {dns, dns, 6432, 14317},
		},
		"embedded": {"try-asterism-deny": nil, "try-asterism-suite": {dns, dns}, "try-asterism-check": {dns, dns, ops}},
		"embedded-open": {
			"try-asterism-deny": nil, "try-asterism-check": {dns, dns, peers},
			"try-asterism-suite": {dns, dns, 4317}, "try-asterism-suite-migrate": {dns, dns, 4317},
		},
	} {
		policies := render(t, values(name)).policies
		for _, policy := range policies {
			var ports []int32
			for _, rule := range policy.Spec.Egress {
				for _, port := range rule.Ports {
					ports = append(ports, port.Port.IntVal)
				}
				if name == "everything" && len(rule.To) == 0 {
					t.Errorf("%s: %v leads anywhere", policy.Name, rule.Ports)
				}
			}
			if expected, known := want[policy.Name]; !known || !slices.Equal(ports, expected) {
				t.Errorf("%s: %s may reach ports %v, not %v", name, policy.Name, ports, expected)
			}
		}
	}
}

func TestWhatIsReferredToExists(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for name, pod := range all.pods() {
			if len(all.accounts) != 1 || pod.Spec.ServiceAccountName != all.accounts[0].Name {
				t.Errorf("%s: there is no ServiceAccount %s", name, pod.Spec.ServiceAccountName)
			}
			// Otherwise a Service of this chart becomes variables that the programs refuse.
			if *pod.Spec.EnableServiceLinks {
				t.Errorf("%s: Services become variables", name)
			}
		}
	})
}
