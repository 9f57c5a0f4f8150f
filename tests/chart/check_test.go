package chart

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestHelmTestRunsOnePod(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		if len(all.checks) != 1 {
			t.Fatalf("%d Pods check the release", len(all.checks))
		}
		check := all.checks[0]
		if check.Annotations["helm.sh/hook"] != "test" || check.Annotations["helm.sh/hook-delete-policy"] != "before-hook-creation" {
			t.Errorf("helm does not know it by %v", check.Annotations)
		}
		container := check.Spec.Containers[0]
		if check.Spec.RestartPolicy != core.RestartPolicyNever || container.Command[0] != "asterism" || container.Args[0] != "check" {
			t.Errorf("it runs %v %v, and then %s", container.Command, container.Args, check.Spec.RestartPolicy)
		}
		for _, deployment := range all.deployments {
			if service := deployment.Spec.Template.Spec.Containers[0]; service.Image != container.Image {
				t.Errorf("it tries %s, %s runs %s", container.Image, deployment.Name, service.Image)
			}
		}
		for _, service := range all.services {
			if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(check.Labels)) {
				t.Errorf("Service %s leads to it", service.Name)
			}
		}
	})
}

func TestHelmTestAsksEveryService(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		pod := all.pods()[all.checks[0].Name]
		variables := all.variables(t, pod)
		asked := map[string]bool{}
		for variable, value := range variables {
			switch {
			case strings.HasSuffix(variable, "_FILE"):
				if secretFiles(pod)[value] == "" {
					t.Errorf("%s is %s, which no Secret brings", variable, value)
				}
			case strings.HasPrefix(variable, "ASTERISM_PEER_") && variable != "ASTERISM_PEER_TLS_NAME":
				asked[value] = true
			}
		}
		args := pod.Spec.Containers[0].Args
		for index, arg := range args {
			if arg == "--health" || arg == "--address" {
				address := args[index+1]
				if !strings.Contains(address, "://") {
					address = "http://" + address
				}
				asked[address] = true
			}
		}
		open := len(asked) > 0 && !slices.Contains(args, "--health")
		if open && secretFiles(pod)[variables["ASTERISM_PEER_TOKEN_FILE"]] != secretFiles(all.deployments[0].Spec.Template)["/etc/asterism/peer-token/value"] {
			t.Errorf("it does not bring the services' token: %v", variables)
		}
		for address := range asked {
			all.reach(t, pod, address)
		}
		if len(asked) != len(all.deployments) {
			t.Errorf("of %d services it asks %v", len(all.deployments), asked)
		}
	})
}

// reach fails unless a Service is at the address, and policies let the Pod out and in.
func (r *release) reach(t *testing.T, from core.PodTemplateSpec, address string) {
	t.Helper()
	where, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	number := port(t, where.Host)
	index := slices.IndexFunc(r.services, func(s *core.Service) bool { return s.Name == where.Hostname() })
	if index < 0 {
		t.Fatalf("there is no Service at %s", address)
	}
	for name, pod := range r.pods() {
		if !labels.SelectorFromSet(r.services[index].Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		if number != containerPort(pod, "grpc") && number != containerPort(pod, "ops") {
			t.Errorf("%s does not listen on %d", name, number)
		}
		if len(r.policies) > 0 && !(r.letsOut(from, pod, number) && r.letsIn(from, pod, number)) {
			t.Errorf("policies do not let it reach %s", address)
		}
	}
}

func (r *release) letsOut(from, to core.PodTemplateSpec, number int32) bool {
	return slices.ContainsFunc(r.policies, func(policy *networking.NetworkPolicy) bool {
		return means(policy.Spec.PodSelector.MatchLabels, from) && slices.ContainsFunc(policy.Spec.Egress, func(rule networking.NetworkPolicyEgressRule) bool {
			return opens(rule.Ports, to, number) && names(rule.To, to)
		})
	})
}

func (r *release) letsIn(from, to core.PodTemplateSpec, number int32) bool {
	return slices.ContainsFunc(r.policies, func(policy *networking.NetworkPolicy) bool {
		return means(policy.Spec.PodSelector.MatchLabels, to) && slices.ContainsFunc(policy.Spec.Ingress, func(rule networking.NetworkPolicyIngressRule) bool {
			return opens(rule.Ports, to, number) && names(rule.From, from)
		})
	})
}

func means(selector map[string]string, pod core.PodTemplateSpec) bool {
	return labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels))
}

func opens(ports []networking.NetworkPolicyPort, pod core.PodTemplateSpec, number int32) bool {
	return slices.ContainsFunc(ports, func(port networking.NetworkPolicyPort) bool {
		return port.Port.IntVal == number || (port.Port.StrVal != "" && containerPort(pod, port.Port.StrVal) == number)
	})
}

// names tells whether one of the peers is a Pod of the release itself: those of elsewhere say nothing about ours.
func names(peers []networking.NetworkPolicyPeer, pod core.PodTemplateSpec) bool {
	return slices.ContainsFunc(peers, func(peer networking.NetworkPolicyPeer) bool {
		return peer.NamespaceSelector == nil && peer.PodSelector != nil && len(peer.PodSelector.MatchLabels) > 0 && means(peer.PodSelector.MatchLabels, pod)
	})
}
