package chart

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// variables are those of a Pod's container, with "" for values that come from a Secret.
func (r *release) variables(t *testing.T, pod core.PodTemplateSpec) map[string]string {
	t.Helper()
	all := map[string]string{}
	container := pod.Spec.Containers[0]
	for _, source := range container.EnvFrom {
		index := slices.IndexFunc(r.configMaps, func(c *core.ConfigMap) bool { return c.Name == source.ConfigMapRef.Name })
		if index < 0 {
			t.Fatalf("there is no ConfigMap %s", source.ConfigMapRef.Name)
		}
		for name, value := range r.configMaps[index].Data {
			all[name] = value
		}
	}
	for _, variable := range container.Env {
		all[variable.Name] = variable.Value
	}
	return all
}

// secretFiles are the files that a Pod has from Secrets, and the Secret of each.
func secretFiles(pod core.PodTemplateSpec) map[string]string {
	files := map[string]string{}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		for _, volume := range pod.Spec.Volumes {
			if volume.Name != mount.Name || volume.Secret == nil {
				continue
			}
			for _, item := range volume.Secret.Items {
				files[mount.MountPath+"/"+item.Path] = volume.Secret.SecretName + "/" + item.Key
			}
		}
	}
	return files
}

func port(t *testing.T, address string) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(number)
}

func containerPort(pod core.PodTemplateSpec, name string) int32 {
	for _, port := range pod.Spec.Containers[0].Ports {
		if port.Name == name {
			return port.ContainerPort
		}
	}
	return 0
}

func TestPortsAreWhereTheProgramListens(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, deployment := range all.deployments {
			pod := deployment.Spec.Template
			variables := all.variables(t, pod)
			api, ops := port(t, variables["ASTERISM_LISTEN"]), port(t, variables["ASTERISM_OPS_LISTEN"])
			if containerPort(pod, "grpc") != api || containerPort(pod, "ops") != ops {
				t.Errorf("%s listens on %d and %d, its ports are %v", deployment.Name, api, ops, pod.Spec.Containers[0].Ports)
			}
			probesAsk(t, deployment, ops)
		}
	})
}

func probesAsk(t *testing.T, deployment *apps.Deployment, ops int32) {
	t.Helper()
	container := deployment.Spec.Template.Spec.Containers[0]
	if ready := container.ReadinessProbe.GRPC; ready == nil || ready.Port != ops {
		t.Errorf("%s: health is not asked for on the ops port: %+v", deployment.Name, container.ReadinessProbe)
	}
	// gRPC health says "not serving" during a drain, and while a migration runs: it must not decide on life and death.
	for _, probe := range []*core.Probe{container.StartupProbe, container.LivenessProbe} {
		live := probe.HTTPGet
		if live == nil || live.Path != "/livez" || live.Port != intstr.FromString("ops") {
			t.Errorf("%s: liveness is not /livez on the ops port: %+v", deployment.Name, probe)
		}
	}
}

func TestThereIsTimeToGo(t *testing.T) {
	// Connections may take a second to say goodbye after the timeout: GOODBYE in libs/common/src/server.
	const goodbye = time.Second
	everyRelease(t, func(t *testing.T, all release) {
		for _, deployment := range all.deployments {
			pod := deployment.Spec.Template
			variables := all.variables(t, pod)
			needed := time.Duration(pod.Spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds)*time.Second + goodbye
			for _, name := range []string{"ASTERISM_DRAIN_DELAY", "ASTERISM_DRAIN_TIMEOUT"} {
				part, err := time.ParseDuration(variables[name])
				if err != nil {
					t.Fatal(err)
				}
				needed += part
			}
			grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
			if grace <= needed {
				t.Errorf("%s is killed after %s but may need %s", deployment.Name, grace, needed)
			}
		}
	})
}

func TestSecretsAreFilesOrReferences(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for _, configMap := range all.configMaps {
			for name := range configMap.Data {
				if slices.Contains([]string{"ASTERISM_DATABASE_URL", "ASTERISM_REDIS_URL", "ASTERISM_LOYALTY_SIGNING_KEY"}, name) {
					t.Errorf("%s has %s in plain text", configMap.Name, name)
				}
			}
		}
		for name, pod := range all.pods() {
			files := secretFiles(pod)
			for variable, value := range all.variables(t, pod) {
				if strings.HasSuffix(variable, "_FILE") && files[value] == "" {
					t.Errorf("%s: %s names %s, which no Secret provides", name, variable, value)
				}
			}
			for _, mount := range pod.Spec.Containers[0].VolumeMounts {
				if mount.SubPath != "" {
					t.Errorf("%s: %s would not follow when its Secret changes", name, mount.MountPath)
				}
			}
		}
	})
}

func TestSecretsAreThoseThatWereNamed(t *testing.T) {
	all := render(t, values("everything"))
	shared := map[string]string{
		"/etc/asterism/jwks/value": "issuer-keys/keys", "/etc/asterism/peer-token/value": "services-token/jwt",
		"/etc/asterism/tls/certificate": "api-certificate/chain.pem", "/etc/asterism/tls/key": "api-certificate/key.pem",
		"/etc/asterism/peer-ca/value": "internal-ca/ca.pem", "/etc/asterism/client-ca/value": "callers-ca/callers.pem",
		"/etc/asterism/client-scopes/value": "callers/list", "/etc/asterism/database-ca/value": "database-ca/postgres.pem",
	}
	databases := map[string]string{
		"customer-profile": "customer-db/dsn", "segmentation": "segmentation-db/dsn",
		"loyalty-points": "loyalty-db/dsn", "feedback": "feedback-db/dsn",
	}
	for name, pod := range all.pods() {
		service := strings.TrimSuffix(pod.Labels["app.kubernetes.io/component"], "-migrate")
		if databases[service] == "" {
			continue
		}
		want := map[string]string{"/etc/asterism/database-url/value": databases[service]}
		for file, secret := range shared {
			want[file] = secret
		}
		if service == "customer-profile" {
			want["/etc/asterism/encryption-keys/value"] = "customer-keys/ring"
		}
		if service == "loyalty-points" {
			want["/etc/asterism/signing-key/value"] = "ledger/ed25519.pem"
			want["/etc/asterism/redis-ca/value"] = "cache-ca/redis.pem"
		}
		if got := secretFiles(pod); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s has %v, not %v", name, got, want)
		}
		redis := slices.IndexFunc(pod.Spec.Containers[0].Env, func(v core.EnvVar) bool { return v.Name == "ASTERISM_REDIS_URL" })
		if (redis >= 0) != (service == "loyalty-points") {
			t.Errorf("%s: only loyalty-points has a cache", name)
		}
	}
}

func TestServicesFindEachOther(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for name, pod := range all.pods() {
			for variable, value := range all.variables(t, pod) {
				if !strings.HasPrefix(variable, "ASTERISM_PEER_") || strings.HasSuffix(variable, "_FILE") || variable == "ASTERISM_PEER_TLS_NAME" {
					continue
				}
				address, err := url.Parse(value)
				if err != nil {
					t.Fatal(err)
				}
				index := slices.IndexFunc(all.services, func(s *core.Service) bool { return s.Name == address.Hostname() })
				if index < 0 || all.services[index].Spec.Ports[0].Port != port(t, address.Host) {
					t.Errorf("%s: %s is at %s, where no Service is", name, variable, value)
				}
				encrypted := all.variables(t, pod)["ASTERISM_PEER_CA_FILE"] != ""
				if (address.Scheme == "https") != encrypted {
					t.Errorf("%s calls %s, but encrypted is %t", name, value, encrypted)
				}
			}
		}
	})
}

func TestNumbersArriveAsTheyWereWritten(t *testing.T) {
	all := render(t, values("everything"))
	for _, deployment := range all.deployments {
		variables := all.variables(t, deployment.Spec.Template)
		if variables["ASTERISM_CALLS_MAX"] != "2000000" || variables["ASTERISM_TRACE_RATIO"] != "0.1" {
			t.Errorf("%s: %v", deployment.Name, variables)
		}
		if deployment.Name == "try-asterism-loyalty-points" && variables["ASTERISM_DATABASE_POOL_MAX"] != "48" {
			t.Error("a service's own setting does not win")
		}
	}
}

func TestReplicasAreLeftToTheAutoscaler(t *testing.T) {
	all := render(t, values("everything"))
	for _, deployment := range all.deployments {
		scaled := deployment.Name != "try-asterism-customer-profile"
		if (deployment.Spec.Replicas == nil) != scaled {
			t.Errorf("%s: replicas are %v", deployment.Name, deployment.Spec.Replicas)
		}
	}
}

func TestASettingRestartsWhoeverHasIt(t *testing.T) {
	before, after := render(t, values("minimal")), render(t, values("minimal"), "--set", "services.feedback.settings.ASTERISM_LOG=debug")
	for index, deployment := range after.deployments {
		changed := deployment.Spec.Template.Annotations["checksum/config"] != before.deployments[index].Spec.Template.Annotations["checksum/config"]
		if changed != (deployment.Name == "try-asterism-feedback") {
			t.Errorf("%s: restarted is %t", deployment.Name, changed)
		}
	}
}

func TestAMigrationRunsAgainOnlyWhenItIsAnother(t *testing.T) {
	names := func(more ...string) (names []string) {
		for _, job := range render(t, values("minimal"), more...).jobs {
			names = append(names, job.Name)
		}
		return names
	}
	if first, again := names(), names(); !slices.Equal(first, again) {
		t.Errorf("%v became %v although nothing changed", first, again)
	}
	for index, name := range names("--set", "image.tag=2.0.0") {
		if name == names()[index] {
			t.Errorf("%s would have to change, which Jobs cannot", name)
		}
	}
}

func TestMigrationsMayTakeTheirTime(t *testing.T) {
	all := render(t, values("everything"))
	for _, job := range all.jobs {
		if got := all.variables(t, job.Spec.Template)["ASTERISM_STATEMENT_TIMEOUT"]; got != "4h" {
			t.Errorf("%s: a statement is ended after %s", job.Name, got)
		}
	}
}

// A certificate and its key change together only if they are in one volume.
func TestACertificateIsBesideItsKey(t *testing.T) {
	everyRelease(t, func(t *testing.T, all release) {
		for name, pod := range all.pods() {
			for _, pair := range []string{"TLS", "PEER"} {
				variables := all.variables(t, pod)
				certificate, key := variables["ASTERISM_"+pair+"_CERTIFICATE_FILE"], variables["ASTERISM_"+pair+"_KEY_FILE"]
				if path.Dir(certificate) != path.Dir(key) {
					t.Errorf("%s: %s and %s do not change together", name, certificate, key)
				}
			}
		}
	})
}

func TestRestoredServicesTellTheirReaders(t *testing.T) {
	for name, want := range map[string][]string{"everything": {"customer-profile", "feedback"}, "embedded-open": {"suite"}} {
		var told []string
		for _, job := range render(t, values(name)).jobs {
			if container := job.Spec.Template.Spec.Containers[0]; slices.Equal(container.Args, []string{"feed", "new-epoch"}) {
				told = append(told, strings.TrimSuffix(strings.TrimPrefix(job.Name, "try-asterism-"), "-new-epoch"))
			}
		}
		if !slices.Equal(told, want) {
			t.Errorf("%s: %v tell, not %v", name, told, want)
		}
	}
}

func TestTheEmbeddedModeIsOnePod(t *testing.T) {
	for _, name := range []string{"embedded", "embedded-open"} {
		all := render(t, values(name))
		deployment := all.deployments[0]
		if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType {
			t.Errorf("%s: two Pods might have the files open", name)
		}
		if len(all.volumes) != 1 || deployment.Spec.Template.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != all.volumes[0].Name {
			t.Errorf("%s: the data has no volume", name)
		}
	}
	closed := render(t, values("embedded"))
	if got := closed.variables(t, closed.deployments[0].Spec.Template)["ASTERISM_LISTEN"]; got != "127.0.0.1:50051" {
		t.Errorf("without authentication the API listens on %s, which the program refuses", got)
	}
}
