{{/* Labels of every object. Not of pods: a new chart version alone must not restart them. */}}
{{- define "bookinfo.labels" -}}
app.kubernetes.io/part-of: bookinfo
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The same with the user's over them. Takes a dict of root and own. */}}
{{- define "bookinfo.labelsWith" -}}
{{- mergeOverwrite (include "bookinfo.labels" .root | fromYaml) (.own | default dict) | toYaml -}}
{{- end }}

{{/* A version's settings over the defaults, as JSON. Takes a dict of root, service and version. */}}
{{- define "bookinfo.version" -}}
{{- $own := index .root.Values.services .service "versions" .version | default dict -}}
{{- mergeOverwrite (deepCopy .root.Values.versionDefaults) (deepCopy $own) | toJson -}}
{{- end }}

{{/* A version's image. Takes a dict of root, service and version. */}}
{{- define "bookinfo.image" -}}
{{- $image := (include "bookinfo.version" . | fromJson).image -}}
{{- $repository := $image.repository | default (index .root.Values.services .service).image -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/*
A scalar as text, its digits as they were given. Helm holds numbers as floats, and prints those from 1000000 on as 1e+06
anywhere but in JSON.
*/}}
{{- define "bookinfo.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* Names of an environment in capitals, with spaces between: services read them whatever their case. */}}
{{- define "bookinfo.names" -}}
{{ keys (. | default dict) | join " " | upper }}
{{- end }}

{{/* Environment of a version as JSON, NAME to text: what the chart sets, then everybody's, the service's, the version's. */}}
{{- define "bookinfo.env" -}}
{{- $values := .root.Values -}}
{{- $settings := include "bookinfo.version" . | fromJson -}}
{{- $env := dict "VERSION" .version "DRAIN_SECONDS" $values.shutdown.drainSeconds -}}
{{- with $values.otlp.endpoint -}}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- end -}}
{{- $names := dict "abortPercent" "FAULT_ABORT_PERCENT" "abortStatus" "FAULT_ABORT_STATUS" "delayPercent" "FAULT_DELAY_PERCENT" "delayMilliseconds" "FAULT_DELAY_MS" "seed" "FAULT_SEED" -}}
{{- range $fault, $value := $settings.faults }}{{ $_ := set $env (index $names $fault) $value }}{{ end -}}
{{- $texts := dict -}}
{{- range $name, $value := mergeOverwrite $env $values.env ((index $values.services .service).env | default dict) ($settings.env | default dict) -}}
{{- $_ := set $texts $name (include "bookinfo.text" $value) -}}
{{- end -}}
{{- toJson $texts -}}
{{- end }}

{{/* Labels that put a pod into the mesh, or keep it out. */}}
{{- define "bookinfo.meshLabels" -}}
{{- if eq .Values.mesh.mode "sidecar" -}}
sidecar.istio.io/inject: "true"
{{ include "bookinfo.revisionLabel" . }}
{{- else if eq .Values.mesh.mode "ambient" -}}
istio.io/dataplane-mode: ambient
{{- end }}
{{- end }}

{{/* Where sidecars are ordinary containers, the application waits for its proxy, and the proxy for its last connection. */}}
{{- define "bookinfo.meshAnnotations" -}}
{{- if and (eq .Values.mesh.mode "sidecar") (not .Values.mesh.nativeSidecars) -}}
proxy.istio.io/config: |
  holdApplicationUntilProxyStarts: true
  proxyMetadata:
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"
    MINIMUM_DRAIN_DURATION: {{ printf "%vs" (addf .Values.shutdown.preStopSeconds .Values.shutdown.drainSeconds) }}
{{- end }}
{{- end }}

{{/* The chart's own labels and annotations of a pod, under the user's. Each takes a dict of root, service and version. */}}
{{- define "bookinfo.podLabels" -}}
app: {{ .service }}
version: {{ .version | quote }}
{{ include "bookinfo.meshLabels" .root }}
{{- end }}

{{- define "bookinfo.podAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9080"
prometheus.io/path: /metrics
{{- if and (eq .service "productpage") .root.Values.session.secret }}
bookinfo/session: {{ .root.Values.session.secret | sha256sum | trunc 8 | quote }}
{{- end }}
{{ include "bookinfo.meshAnnotations" .root }}
{{- end }}

{{/* What the restricted Pod Security Standard wants of a pod, and of a container. */}}
{{- define "bookinfo.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "bookinfo.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "bookinfo.sessionSecret" -}}
{{ .Values.session.existingSecret | default "bookinfo-session" }}
{{- end }}

{{/* Host names as JSON {items: [...]}; none where all are served, for which neither API takes an asterisk. */}}
{{- define "bookinfo.hosts" -}}
{{- dict "items" (ternary list . (has "*" .)) | toJson -}}
{{- end }}

{{/* Who cares for a Gateway of Istio's, where that is a revision. */}}
{{- define "bookinfo.revisionLabel" -}}
{{- with .Values.mesh.revision -}}
istio.io/rev: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What each service takes for VERSION, as JSON; productpage takes any. */}}
{{- define "bookinfo.knownVersions" -}}
{{- dict "details" (list "v1" "v2") "reviews" (list "v1" "v2" "v3") "ratings" (list "v1" "v-faulty" "v-delayed" "v-unavailable" "v-unhealthy") | toJson -}}
{{- end }}

{{/* The Gateway API gateway's Service, as NAME or NAME.NAMESPACE. */}}
{{- define "bookinfo.gatewayService" -}}
{{ .Values.gatewayAPI.service | default "bookinfo-gateway-istio" }}
{{- end }}

{{/*
The objects of a file under files/, as JSON {items: [...]}. Takes a dict of root and path. These files are links into
the repository: Helm gives an empty text for one that leads nowhere, which must never become an empty manifest.
*/}}
{{- define "bookinfo.objects" -}}
{{- $text := .root.Files.Get .path -}}
{{- $items := list -}}
{{- range regexSplit "(?m)^---[ \t]*$" $text -1 -}}
{{- $item := fromYaml . -}}
{{- if $item.Error }}{{ fail (printf "%s is not YAML: %s" $.path $item.Error) }}{{ end -}}
{{- if $item.kind }}{{ $items = append $items $item }}{{ end -}}
{{- end -}}
{{- if not $items -}}
{{- fail (printf "%s is missing or empty in this chart: it is a symbolic link into the repository, so check out links (git config core.symlinks true), or use the packaged chart" .path) -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/*
The edges of the graph as JSON {items: [{policy, service, caller}]}, read from istio/security's allow-A-to-B.yaml.
An edge without a caller is the way in.
*/}}
{{- define "bookinfo.edges" -}}
{{- $edges := list -}}
{{- range $path, $_ := .Files.Glob "files/istio/security/allow-*-to-*.yaml" -}}
{{- range (include "bookinfo.objects" (dict "root" $ "path" $path) | fromJson).items -}}
{{- $service := .spec.selector.matchLabels.app -}}
{{- $caller := "" -}}
{{- with (index .spec.rules 0).from }}{{ $caller = (index (index . 0).source.principals 0) | splitList "/" | last | trimPrefix "bookinfo-" }}{{ end -}}
{{- if and (hasKey $.Values.services $service) (or (not $caller) (hasKey $.Values.services $caller)) -}}
{{- $edges = append $edges (dict "policy" . "service" $service "caller" $caller) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $edges -}}
{{- fail "files/istio/security holds no allow-*-to-*.yaml: it is a symbolic link into the repository, so check out links (git config core.symlinks true), or use the packaged chart" -}}
{{- end -}}
{{- dict "items" $edges | toJson -}}
{{- end }}

{{/* The identity of a ServiceAccount of the release. Takes a dict of root and account. */}}
{{- define "bookinfo.principal" -}}
{{ .root.Values.mesh.trustDomain }}/ns/{{ .root.Release.Namespace }}/sa/{{ .account }}
{{- end }}

{{/* The identities of what lets the outside in and is in the mesh, as JSON {items: [...]}. */}}
{{- define "bookinfo.gatewayPrincipals" -}}
{{- $items := list -}}
{{- with .Values.istioGateway }}{{ if .enabled }}
{{- $items = append $items (printf "%s/ns/%s/sa/%s" $.Values.mesh.trustDomain .namespace .serviceAccount) -}}
{{- end }}{{ end -}}
{{- with .Values.gatewayAPI }}{{ if .enabled }}
{{- $items = append $items (include "bookinfo.principal" (dict "root" $ "account" (.serviceAccount | default "bookinfo-gateway-istio"))) -}}
{{- end }}{{ end -}}
{{- with .Values.ingress }}{{ if and .enabled .serviceAccount }}
{{- $items = append $items (printf "%s/ns/%s/sa/%s" $.Values.mesh.trustDomain .namespace .serviceAccount) -}}
{{- end }}{{ end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/* Shares of a service's versions as JSON {items: [{version, weight}]}; none where nobody gave one, or a canary has them. */}}
{{- define "bookinfo.weights" -}}
{{- $items := list -}}
{{- $total := 0 -}}
{{- if not .root.Values.canary.managed -}}
{{- range $version, $_ := (index .root.Values.services .service).versions -}}
{{- $settings := include "bookinfo.version" (dict "root" $.root "service" $.service "version" $version) | fromJson -}}
{{- if ne $settings.weight nil -}}
{{- $items = append $items (dict "version" $version "weight" (int $settings.weight)) -}}
{{- $total = add $total (int $settings.weight) -}}
{{- end -}}
{{- end -}}
{{- if and $items (eq (int $total) 0) }}{{ fail (printf "services.%s.versions: every weight is 0, so no version would get a request" .service) }}{{ end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/* The paths of productpage that a gateway serves, as JSON {items: [{exact: p} or {prefix: p}]}: istio/gateway's own. */}}
{{- define "bookinfo.paths" -}}
{{- $items := list -}}
{{- range (include "bookinfo.objects" (dict "root" . "path" "files/istio/gateway/bookinfo-gateway.yaml") | fromJson).items -}}
{{- if eq .kind "VirtualService" -}}
{{- range .spec.http }}{{ range .match }}{{ $items = append $items .uri }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/* An object with the release's namespace and labels, as YAML. Takes a dict of root and object. */}}
{{- define "bookinfo.render" -}}
{{- $labels := include "bookinfo.labels" .root | fromYaml -}}
{{- $metadata := mergeOverwrite (dict "namespace" .root.Release.Namespace) (dict "labels" $labels) .object.metadata -}}
{{- toYaml (merge (dict "metadata" $metadata) .object) }}
{{- end }}
