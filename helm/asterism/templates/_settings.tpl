{{/*
The variables of a component, as YAML: (dict "root" $ "name" "feedback" "component" …).
Secrets are not among them: those are files, or in the case of Redis a reference.
*/}}
{{- define "asterism.settings" -}}
{{- $values := .root.Values }}
{{- $reach := ternary "0.0.0.0" "127.0.0.1" .component.api }}
ASTERISM_LISTEN: {{ printf "%s:%s" $reach (include "asterism.port.grpc" .root) }}
ASTERISM_OPS_LISTEN: {{ printf "0.0.0.0:%s" (include "asterism.port.ops" .root) }}
ASTERISM_DRAIN_DELAY: {{ $values.drain.delaySeconds }}s
ASTERISM_DRAIN_TIMEOUT: {{ $values.drain.timeoutSeconds }}s
ASTERISM_LOG_FORMAT: json
{{- if $values.auth.jwks.secret }}
ASTERISM_AUTH_JWKS_FILE: /etc/asterism/jwks/value
ASTERISM_AUTH_ISSUER: {{ $values.auth.issuer | quote }}
ASTERISM_AUTH_AUDIENCE: {{ $values.auth.audience | quote }}
{{- with $values.auth.algorithms }}
ASTERISM_AUTH_ALGORITHMS: {{ join "," . }}
{{- end }}
ASTERISM_PEER_TOKEN_FILE: /etc/asterism/peer-token/value
{{- end }}
{{- with $values.tls }}
{{- if .certificate.secret }}
ASTERISM_TLS_CERTIFICATE_FILE: /etc/asterism/tls/certificate
ASTERISM_TLS_KEY_FILE: /etc/asterism/tls/key
ASTERISM_PEER_CA_FILE: /etc/asterism/peer-ca/value
{{- with .serverName }}
ASTERISM_PEER_TLS_NAME: {{ . }}
{{- end }}
{{- end }}
{{- if .clientCa.secret }}
ASTERISM_TLS_CLIENT_CA_FILE: /etc/asterism/client-ca/value
ASTERISM_PEER_CERTIFICATE_FILE: /etc/asterism/tls/certificate
ASTERISM_PEER_KEY_FILE: /etc/asterism/tls/key
{{- end }}
{{- if .clientScopes.secret }}
ASTERISM_TLS_CLIENT_SCOPES_FILE: /etc/asterism/client-scopes/value
{{- end }}
{{- end }}
{{- if .component.embedded }}
ASTERISM_DATA: /data
{{- else }}
ASTERISM_DATABASE_URL_FILE: /etc/asterism/database-url/value
{{- range $variable, $service := dict "CUSTOMER" "customer-profile" "SEGMENTATION" "segmentation" "LOYALTY" "loyalty-points" "FEEDBACK" "feedback" }}
ASTERISM_PEER_{{ $variable }}: {{ ternary "https" "http" (ne $values.tls.certificate.secret "") }}://{{ include "asterism.fullname" $.root }}-{{ $service }}:{{ include "asterism.port.grpc" $.root }}
{{- end }}
{{- end }}
{{- if dig "encryptionKeys" "secret" "" .component }}
ASTERISM_CUSTOMER_ENCRYPTION_KEYS_FILE: /etc/asterism/encryption-keys/value
{{- end }}
{{- if dig "signingKey" "secret" "" .component }}
ASTERISM_LOYALTY_SIGNING_KEY_FILE: /etc/asterism/signing-key/value
{{- end }}
{{- if and .component.redis $values.redis.cluster }}
ASTERISM_REDIS_CLUSTER: "true"
{{- end }}
{{- if and .component.redis $values.redis.ca.secret }}
ASTERISM_REDIS_CA_FILE: /etc/asterism/redis-ca/value
{{- end }}
{{- range $name, $value := .component.settings }}
{{ $name }}: {{ include "asterism.text" $value | quote }}
{{- end }}
{{- end }}

{{/* Helm reads numbers as floats and would print a million as 1e+06. */}}
{{- define "asterism.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}
