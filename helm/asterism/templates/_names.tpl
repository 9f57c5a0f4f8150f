{{/* Names and labels. */}}

{{- define "asterism.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 19 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end }}

{{/* What selects Pods: (dict "root" $ "component" "feedback"). Never changes for a release. */}}
{{- define "asterism.selector" -}}
{{ include "asterism.release" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels that every Pod of the release has. */}}
{{- define "asterism.release" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "asterism.labels" -}}
{{ include "asterism.release" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "asterism.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}
