package chart

import (
	"strings"
	"testing"
)

func TestMistakesAreRefused(t *testing.T) {
	for _, mistake := range []struct{ what, base, values, says string }{
		{"an unknown value", "minimal", "replica: 3", "additional properties 'replica' not allowed"},
		{"an unknown value of a service", "minimal", "services: {feedback: {replica: 3}}", "additional properties 'replica' not allowed"},
		{"an unknown service", "minimal", "services: {billing: {database: {secret: x}}}", "additional properties 'billing' not allowed"},
		{"a service left out", "minimal", "services: {feedback: null}", "missing property 'feedback'"},
		{"a misspelt setting", "minimal", "settings: {ASTERISM_DEADLIN: 3s}", "ASTERISM_DEADLIN"},
		{"another service's setting", "minimal", "services: {feedback: {settings: {ASTERISM_POSTING_BATCH_MAX: 3}}}", "ASTERISM_POSTING_BATCH_MAX"},
		{"a setting that the chart makes", "minimal", "settings: {ASTERISM_LISTEN: 0.0.0.0:1}", "ASTERISM_LISTEN"},
		{"a secret in plain text", "minimal", "settings: {ASTERISM_DATABASE_URL: postgres://u:p@db/x}", "ASTERISM_DATABASE_URL"},
		{"a secret where its name belongs", "minimal", "services: {feedback: {database: {secret: postgres://u:p@db/x}}}", "does not match pattern"},
		{"a duration without unit", "minimal", "settings: {ASTERISM_DEADLINE: '30'}", "does not match pattern"},
		{"a signing key for a service that signs nothing", "minimal", "services: {feedback: {signingKey: {secret: x}}}", "false schema"},
		{"encryption keys for a service that seals nothing", "minimal", "services: {feedback: {encryptionKeys: {secret: x}}}", "false schema"},
		{"no encryption keys", "minimal", "services: {customer-profile: {encryptionKeys: {secret: ''}}}", "services.customer-profile.encryptionKeys.secret is missing"},
		{"no replica", "minimal", "defaults: {replicas: 0}", "minimum: got 0"},
		{"an unknown algorithm", "minimal", "auth: {algorithms: [none]}", "must be one of"},
		{"an objective nobody can miss", "minimal", "monitoring: {objectivePercent: 100}", "exclusiveMaximum"},
		{"root", "minimal", "runAsUser: 0", "minimum: got 0"},
		{"no time for endpoints to change", "minimal", "drain: {preStopSeconds: 0}", "minimum: got 0"},
		{"a digest that is none", "minimal", "image: {digest: latest}", "does not match pattern"},
		{"a port that is none", "minimal", "networkPolicy: {redis: {port: 70000}}", "maximum: got 70,000"},
		{"a peer that means everybody", "minimal", "networkPolicy: {clients: [{}]}", "minProperties"},
		{"more to begin with than at most", "minimal", "defaults: {autoscaling: {enabled: true, minReplicas: 9}}", "minReplicas is more than maxReplicas"},
		{"no authentication", "minimal", "auth: {jwks: {secret: ''}}", "auth.jwks.secret is missing"},
		{"no issuer", "minimal", "auth: {issuer: ''}", "auth.issuer is missing"},
		{"no audience", "minimal", "auth: {audience: ''}", "auth.audience is missing"},
		{"no token for the services", "minimal", "auth: {peerToken: {secret: ''}}", "auth.peerToken.secret is missing"},
		{"no database", "minimal", "services: {feedback: {database: {secret: ''}}}", "services.feedback.database.secret is missing"},
		{"a certificate that nobody could check", "minimal", "tls: {certificate: {secret: x}}", "tls.ca.secret is missing"},
		{"authorities for plaintext", "minimal", "tls: {ca: {secret: x}}", "tls.certificate.secret is missing"},
		{"callers' certificates in plaintext", "minimal", "tls: {clientCa: {secret: x}}", "tls.certificate.secret is missing"},
		{"scopes of nobody", "minimal", "tls: {clientScopes: {secret: x}}", "tls.clientCa.secret is missing"},
		{"callers who may do nothing", "mutual", "tls: {clientScopes: {secret: ''}}", "tls.clientScopes.secret is missing"},
		{"one Pod without a name", "embedded", "tls: {certificate: {secret: x}, ca: {secret: z}}", "tls.serverName is missing"},
		{"a private key in plain text", "minimal", "tls: {certificate: {secret: '-----BEGIN PRIVATE KEY-----'}}", "does not match pattern"},
		{"a setting that tls makes", "minimal", "settings: {ASTERISM_TLS_KEY_FILE: /key}", "ASTERISM_TLS_KEY_FILE"},
		{"authorities for no Redis", "minimal", "redis: {ca: {secret: x}}", "redis.ca.secret has no effect"},
		{"authorities for files", "embedded", "databaseCa: {secret: x}", "databaseCa.secret has no effect"},
		{"a restored service that is not there", "minimal", "restored: [suite]", "suite is not deployed"},
		{"two Pods on the same files", "embedded", "embedded: {replicas: 2}", "value must be 1"},
		{"Redis for who has none", "embedded", "redis: {secret: cache}", "redis.secret has no effect"},
	} {
		t.Run(mistake.what, func(t *testing.T) {
			t.Parallel()
			args := []string{"template", "try", folder, "--values", values(mistake.base), "--values", valuesOf(t, mistake.values)}
			complaint, err := helm(t, args...)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(complaint, mistake.says) {
				t.Errorf("refused, but not for %q:\n%s", mistake.says, complaint)
			}
		})
	}
}

func TestTheDefaultsSayWhatIsMissing(t *testing.T) {
	complaint, err := helm(t, "template", "try", folder)
	if err == nil || !strings.Contains(complaint, "auth.jwks.secret is missing") || !strings.Contains(complaint, "embedded.enabled") {
		t.Error(complaint)
	}
}
