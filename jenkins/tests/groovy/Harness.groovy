/*
 * Runs declarative Jenkinsfiles: `groovy Harness.groovy Jenkinsfile RUN.json ...`. Every `sh` step really runs.
 *
 * It is not Jenkins: no CPS transformation and no sandbox (the closures simply run), no agents (an agent's label is
 * noted, and everything runs here), no checkout (the workspace is given), no queue and no locks, no plugins. Each directive and step
 * that it knows does here what Jenkins documents for it; every other one is an error, so that nothing passes unseen.
 *
 * RUN.json: workspace, record (a folder for what Jenkins would keep), params, env, credentials ({id: {username,
 * password}}), startAt (a stage: those before it are left out, as by Jenkins' "Restart from Stage"), abort (a file:
 * when it appears, the build is aborted), limits ({stage: seconds} instead of its own time limit), grace (seconds instead
 * of a minute, see Options.GRACE). In the record folder: events.jsonl, one JSON object a line, and published/.
 * The exit code is 0 for SUCCESS, 1 for FAILURE and UNSTABLE, 3 for ABORTED, 2 if the Jenkinsfile cannot be run at all;
 * that of the last, if there are several.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.util.concurrent.TimeUnit
import org.codehaus.groovy.control.CompilerConfiguration

/** What a Jenkinsfile says that this harness, or Jenkins, cannot run. */
class InvalidPipeline extends RuntimeException {
    InvalidPipeline(String message) { super(message) }
}

/** A step that failed: the build fails. */
class StepFailed extends RuntimeException {
    StepFailed(String message) { super(message) }
}

/** Somebody or a time limit stopped the build. */
class Aborted extends RuntimeException {
    Aborted(String message) { super(message) }
}

/** What the whole run shares. */
class Run {
    final Map input
    final File workspace
    final File record
    final Map params = [:]
    volatile String result = 'SUCCESS'
    boolean started

    Run(Map input) {
        this.input = input
        workspace = new File(input.workspace)
        record = new File(input.record)
        started = !input.startAt
    }

    synchronized void event(Map what) {
        new File(record, 'events.jsonl') << JsonOutput.toJson(what) + '\n'
    }

    synchronized void say(String stage, String line) {
        System.out.println("[${stage}] ${mask(line)}")
        System.out.flush()
    }

    /** Secrets never stand in a log. */
    String mask(String line) {
        input.credentials.values()*.password.findAll { it }.inject(line) { text, secret -> text.replace(secret, '****') }
    }

    boolean isAborted() { input.abort && new File(input.abort).exists() }

    /** A result only ever gets worse. */
    synchronized void worsen(String other) {
        List order = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'ABORTED']
        if (order.indexOf(other) > order.indexOf(result)) {
            result = other
        }
    }
}

/** Where a step runs: its stage, its environment, and until when it may. */
class Place {
    final Run run
    final String stage
    final Map env
    final long deadline
    final Closure<Boolean> stopped

    Place(Run run, String stage, Map env, long deadline, Closure<Boolean> stopped) {
        this.run = run
        this.stage = stage
        this.env = env
        this.deadline = deadline
        this.stopped = stopped
    }

    Place with(Map changes) {
        new Place(run, changes.stage ?: stage, env + (changes.env ?: [:]),
            Math.min(deadline, changes.deadline ?: deadline), changes.stopped ?: stopped)
    }
}

/** A closure of the Jenkinsfile, run with `delegate` alone to answer what it names. */
class Body {
    static Object call(Closure body, Object delegate, Object... arguments) {
        Closure copy = (Closure) body.clone()
        copy.delegate = delegate
        copy.resolveStrategy = Closure.DELEGATE_ONLY
        copy.call(*arguments)
    }
}

/** What expressions may name: env, params, currentBuild, and an environment variable by its bare name. */
abstract class Names {
    abstract Place getPlace()

    Map getParams() { place.run.params.asImmutable() }

    Map getEnv() { place.env.asImmutable() }

    Map getCurrentBuild() { [currentResult: place.run.result, result: place.run.result] }

    Object getScm() { 'scm' }

    Object propertyMissing(String name) {
        if (place.env.containsKey(name)) {
            return place.env[name]
        }
        throw new InvalidPipeline("stage ${place.stage}: there is no ${name}")
    }
}

/** The steps of a stage. */
class Steps extends Names {
    final Place place

    Steps(Place place) { this.place = place }

    Object methodMissing(String name, Object arguments) {
        throw new InvalidPipeline("stage ${place.stage}: unknown step ${name}")
    }

    Object sh(String script) { sh(script: script) }

    Object sh(Map arguments) {
        only('sh', arguments, ['script', 'returnStatus', 'returnStdout', 'label'])
        StringBuilder kept = new StringBuilder()
        long began = System.nanoTime()
        // As Jenkins does it: the script in a file, by the system's shell, ended by its first failure.
        File file = File.createTempFile('step', '.sh')
        file.text = arguments.script
        ProcessBuilder builder = new ProcessBuilder('sh', '-xe', file.path)
        builder.directory(place.run.workspace).redirectErrorStream(true).redirectInput(new File('/dev/null'))
        builder.environment().clear()
        builder.environment().putAll(place.env.findAll { it.value != null }.collectEntries { [it.key, "${it.value}".toString()] })
        Process process = builder.start()
        Thread reader = Thread.start {
            process.inputStream.eachLine { String line ->
                kept << line << '\n'
                place.run.say(place.stage, line)
            }
        }
        String stopped = null
        while (!process.waitFor(50, TimeUnit.MILLISECONDS)) {
            if (!stopped && (stopped = why())) {
                // As Jenkins ends a step: a signal to all of its processes. By their handles, since Process.destroy()
                // would close the pipe through which they tell what they do about it.
                process.toHandle().descendants().forEach { it.destroy() }
                process.toHandle().destroy()
            }
        }
        reader.join()
        file.delete()
        int code = process.exitValue()
        place.run.event(event: 'sh', stage: place.stage, script: arguments.script, code: code, stopped: stopped,
            seconds: (System.nanoTime() - began) / 1e9)
        if (stopped) {
            throw new Aborted(stopped)
        }
        if (arguments.returnStatus) {
            return code
        }
        if (code != 0) {
            throw new StepFailed("script returned exit code ${code}: ${arguments.script}")
        }
        arguments.returnStdout ? kept.toString() : null
    }

    void echo(String message) { place.run.say(place.stage, message) }

    void error(String message) { throw new StepFailed(message) }

    void checkout(Object what) {
        if (what != 'scm') {
            throw new InvalidPipeline("checkout knows only scm, not ${what}")
        }
        if (!new File(place.run.workspace, '.git').exists()) {
            throw new StepFailed("${place.run.workspace} is no checkout")
        }
        place.run.event(event: 'checkout', stage: place.stage)
    }

    Map usernamePassword(Map arguments) {
        only('usernamePassword', arguments, ['credentialsId', 'usernameVariable', 'passwordVariable'])
        Map found = place.run.input.credentials[arguments.credentialsId]
        if (found == null) {
            throw new StepFailed("Could not find credentials entry with ID '${arguments.credentialsId}'")
        }
        [(arguments.usernameVariable): found.username, (arguments.passwordVariable): found.password]
    }

    Object withCredentials(List<Map> bindings, Closure body) {
        place.run.event(event: 'withCredentials', stage: place.stage, variables: bindings*.keySet().flatten())
        inside(body, env: bindings.inject([:]) { all, one -> all + one })
    }

    Object withEnv(List<String> pairs, Closure body) {
        inside(body, env: pairs.collectEntries { String pair -> pair.split('=', 2) as List })
    }

    Object timeout(Map arguments, Closure body) {
        inside(body, deadline: Options.deadline(arguments))
    }

    Object retry(int count, Closure body) {
        for (int attempt = 1; ; attempt++) {
            try {
                return inside(body)
            } catch (StepFailed failure) {
                place.run.event(event: 'retry', stage: place.stage, attempt: attempt)
                if (attempt >= count) {
                    throw failure
                }
                place.run.say(place.stage, "${failure.message}; retrying")
            }
        }
    }

    Object script(Closure body) { inside(body) }

    Object catchError(Map arguments = [:], Closure body) {
        only('catchError', arguments, ['buildResult', 'stageResult', 'message'])
        try {
            return inside(body)
        } catch (StepFailed failure) {
            place.run.say(place.stage, failure.message)
            place.run.worsen((arguments.buildResult ?: 'FAILURE') as String)
        }
    }

    void stash(Map arguments) {
        only('stash', arguments, ['name', 'includes', 'allowEmpty'])
        List<File> files = matching(arguments.includes ?: '**')
        if (!files && !arguments.allowEmpty) {
            throw new StepFailed("No files included in stash '${arguments.name}'")
        }
        keep(files, "stash/${arguments.name}")
    }

    void unstash(String name) {
        File from = new File(place.run.record, "stash/${name}")
        if (!from.exists()) {
            throw new StepFailed("No such saved stash '${name}'")
        }
        from.eachFileRecurse(groovy.io.FileType.FILES) { File file ->
            File target = new File(place.run.workspace, from.toPath().relativize(file.toPath()).toString())
            target.parentFile.mkdirs()
            target.bytes = file.bytes
        }
    }

    void junit(Map arguments) {
        only('junit', arguments, ['testResults', 'allowEmptyResults'])
        List<File> files = matching(arguments.testResults)
        if (!files && !arguments.allowEmptyResults) {
            throw new StepFailed("No test report files were found for ${arguments.testResults}")
        }
        Map counts = [tests: 0, failures: 0]
        files.each { File file ->
            def root = new groovy.xml.XmlSlurper().parse(file)
            (root.name() == 'testsuite' ? [root] : root.testsuite.list()).each { suite ->
                counts.tests += suite.@tests.toInteger()
                counts.failures += suite.@failures.toInteger() + suite.@errors.toInteger()
            }
        }
        keep(files, 'published/junit')
        place.run.event([event: 'junit', stage: place.stage] + counts)
        if (counts.failures) {
            place.run.worsen('UNSTABLE')
        }
    }

    void recordCoverage(Map arguments) {
        only('recordCoverage', arguments, ['tools'])
        arguments.tools.each { Map tool ->
            if (tool.parser != 'COBERTURA') {
                throw new InvalidPipeline("recordCoverage: unknown parser ${tool.parser}")
            }
            List<File> files = matching(tool.pattern)
            files.each { new groovy.xml.XmlSlurper(false, false, true).tap {
                setFeature('http://apache.org/xml/features/nonvalidating/load-external-dtd', false)
            }.parse(it) }
            keep(files, 'published/coverage')
            place.run.event(event: 'recordCoverage', stage: place.stage, files: files.size())
        }
    }

    void archiveArtifacts(Map arguments) {
        only('archiveArtifacts', arguments, ['artifacts', 'allowEmptyArchive', 'fingerprint'])
        List<File> files = arguments.artifacts.split(',').collectMany { matching(it.trim()) }
        if (!files && !arguments.allowEmptyArchive) {
            throw new StepFailed("No artifacts found that match ${arguments.artifacts}")
        }
        keep(files, 'published/archive')
        place.run.event(event: 'archiveArtifacts', stage: place.stage, files: files.size())
    }

    void cleanWs() {
        place.run.event(event: 'cleanWs', stage: place.stage)
        // By find, which does not follow links out of the workspace.
        Process process = ['find', place.run.workspace.path, '-mindepth', '1', '-delete'].execute()
        process.waitForProcessOutput(System.out, System.err)
        if (process.exitValue() != 0) {
            throw new StepFailed('the workspace cannot be emptied')
        }
    }

    private Object inside(Map changes = [:], Closure body) {
        String reason = why()
        if (reason) {
            throw new Aborted(reason)
        }
        Body.call(body, new Steps(place.with(changes)))
    }

    private String why() {
        place.run.aborted && !place.stage.startsWith('post') ? 'aborted' :
            place.stopped.call() ? 'another branch failed' :
            System.nanoTime() > place.deadline ? 'the time limit is over' : null
    }

    private List<File> matching(String pattern) {
        def matcher = java.nio.file.FileSystems.default.getPathMatcher("glob:${pattern}")
        java.nio.file.Path root = place.run.workspace.toPath()
        List<File> found = []
        // Links are not followed: a workspace links to what is outside.
        java.nio.file.Files.walk(root.resolve(pattern.replaceFirst('/?[^/]*[*].*', ''))
            .with { java.nio.file.Files.exists(it) ? it : root.resolve('.git/HEAD') })
            .filter { java.nio.file.Files.isRegularFile(it) && matcher.matches(root.relativize(it)) }
            .forEach { found << it.toFile() }
        found.sort()
    }

    private void keep(List<File> files, String where) {
        files.each { File file ->
            String relative = place.run.workspace.toPath().relativize(file.toPath())
            File target = new File(place.run.record, "${where}/${relative}")
            target.parentFile.mkdirs()
            target.bytes = file.bytes
        }
    }

    private void only(String step, Map arguments, List<String> known) {
        Set unknown = arguments.keySet() - known
        if (unknown) {
            throw new InvalidPipeline("${step}: unknown parameter ${unknown.join(', ')}")
        }
    }
}

/** The conditions of `when`; all of a block's hold, or for `anyOf` one. */
class When extends Names {
    final Place place
    final List<Boolean> found = []

    When(Place place) { this.place = place }

    static boolean all(Place place, Closure body) { of(place, body).every() }

    static List<Boolean> of(Place place, Closure body) {
        When block = new When(place)
        Body.call(body, block)
        if (!block.found) {
            throw new InvalidPipeline("stage ${place.stage}: an empty when")
        }
        block.found
    }

    Object methodMissing(String name, Object arguments) {
        throw new InvalidPipeline("stage ${place.stage}: unknown condition ${name}")
    }

    void beforeOptions(boolean first) { place.run.event(event: 'beforeOptions', stage: place.stage, first: first) }

    void branch(String name) { found << (place.env.BRANCH_NAME == name) }

    void buildingTag() { found << (place.env.TAG_NAME as boolean) }

    void changeRequest() { found << (place.env.CHANGE_ID as boolean) }

    void expression(Closure body) { found << (Body.call(body, this) as boolean) }

    void anyOf(Closure body) { found << of(place, body).any() }

    void allOf(Closure body) { found << of(place, body).every() }

    void not(Closure body) { found << !of(place, body).every() }
}

/** The options of a pipeline or a stage. */
class Options extends Names {
    /** So many seconds has what is inside a time limit to end, once that is over: its `post` too. */
    static final int GRACE = 60

    final Place place
    long until = Long.MAX_VALUE
    boolean failFast
    final List<String> names = []

    Options(Place place) { this.place = place }

    static long deadline(Map arguments) {
        System.nanoTime() + TimeUnit.valueOf((arguments.unit ?: 'MINUTES') as String).toNanos(arguments.time as long)
    }

    Object methodMissing(String name, Object arguments) { throw new InvalidPipeline("unknown option ${name}") }

    void timeout(Map arguments) {
        names << 'timeout'
        Object limit = place.run.input.limits?.get(place.stage)
        until = deadline(limit ? [time: limit, unit: 'SECONDS'] : arguments)
    }

    void lock(String resource) { names << "lock ${resource}".toString() }

    void timestamps() { names << 'timestamps' }

    void disableConcurrentBuilds() { names << 'disableConcurrentBuilds' }

    void skipDefaultCheckout() { names << 'skipDefaultCheckout' }

    void parallelsAlwaysFailFast() {
        names << 'parallelsAlwaysFailFast'
        failFast = true
    }

    Map logRotator(Map arguments) { arguments }

    void buildDiscarder(Map rotation) {
        if (!(rotation.keySet() - ['numToKeepStr', 'artifactNumToKeepStr', 'daysToKeepStr', 'artifactDaysToKeepStr']).empty) {
            throw new InvalidPipeline("buildDiscarder: ${rotation}")
        }
        names << 'buildDiscarder'
    }
}

/** The parameters: each gets the run's value, or its default. */
class Parameters extends Names {
    final Place place
    final Map values = [:]

    Parameters(Place place) { this.place = place }

    Object methodMissing(String name, Object arguments) { throw new InvalidPipeline("unknown parameter type ${name}") }

    void string(Map spec) { add(spec, spec.defaultValue) }

    void booleanParam(Map spec) { add(spec, spec.defaultValue) }

    void choice(Map spec) {
        add(spec, spec.choices[0])
        if (!(values[spec.name] in spec.choices)) {
            throw new InvalidPipeline("parameter ${spec.name}: ${values[spec.name]} is none of ${spec.choices}")
        }
    }

    private void add(Map spec, Object value) {
        if (!spec.name || !spec.description) {
            throw new InvalidPipeline("a parameter needs a name and a description: ${spec}")
        }
        values[spec.name] = place.run.input.params.containsKey(spec.name) ? place.run.input.params[spec.name] : value
    }
}

/** Conditions of `post`, in the order in which Jenkins runs them. */
class Post {
    static final List<String> ORDER = ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup']
    final Map<String, Closure> bodies = [:]

    Object methodMissing(String name, Object arguments) {
        if (!(name in ORDER)) {
            throw new InvalidPipeline("unknown condition ${name} of post")
        }
        bodies[name] = ((Object[]) arguments)[0] as Closure
    }

    static void run(Closure body, Place place, String result) {
        Post post = new Post()
        Body.call(body, post)
        // As in Jenkins a time limit of the stage, or of one around it, is one of its `post` too.
        long grace = TimeUnit.SECONDS.toNanos((place.run.input.grace ?: Options.GRACE) as long)
        long until = System.nanoTime() > place.deadline ? place.deadline + grace : place.deadline
        Map<String, Boolean> holds = [always: true, cleanup: true, aborted: result == 'ABORTED', failure: result == 'FAILURE',
            success: result == 'SUCCESS', unstable: result == 'UNSTABLE', unsuccessful: result != 'SUCCESS']
        ORDER.findAll { post.bodies[it] && holds[it] }.each { String condition ->
            place.run.event(event: 'post', stage: place.stage, condition: condition)
            Place here = new Place(place.run, "post of ${place.stage}", place.env, until, { false })
            Stage.outcome(here) { -> Body.call(post.bodies[condition], new Steps(here)) }
        }
    }
}

/** The axes of a matrix: each cell as the environment that it gets. */
class Axes {
    final List<Map<String, String>> cells = [[:]]

    Object methodMissing(String name, Object arguments) { throw new InvalidPipeline("unknown ${name} in axes") }

    void axis(Closure body) {
        Axis one = new Axis()
        Body.call(body, one)
        List wider = cells.collectMany { Map cell -> one.all.collect { cell + [(one.called): it] } }
        cells.clear()
        cells.addAll(wider)
    }
}

/** One axis of a matrix. */
class Axis {
    String called
    List<String> all = []

    Object methodMissing(String name, Object arguments) { throw new InvalidPipeline("unknown ${name} in axis") }

    void name(String value) { called = value }

    void values(String... given) { all.addAll(given) }
}

/** What stands in a block, by name; unknown or repeated is an error. */
class Block {
    final String where
    final List<String> known
    final Map<String, Object> parts = [:]

    Block(String where, List<String> known) {
        this.where = where
        this.known = known
    }

    static Block read(String where, List<String> known, Closure body) {
        Block block = new Block(where, known)
        Body.call(body, block)
        block
    }

    Object propertyMissing(String name) {
        if (where == 'agent' || name in ['any', 'none']) {
            return name
        }
        throw new InvalidPipeline("unknown ${name} in ${where}")
    }

    Object methodMissing(String name, Object arguments) {
        if (!(name in known)) {
            throw new InvalidPipeline("unknown ${name} in ${where}")
        }
        if (parts.containsKey(name)) {
            throw new InvalidPipeline("${name} stands twice in ${where}")
        }
        parts[name] = ((Object[]) arguments)[0]
    }
}

/** The stages of a block, in their order. */
class Stages {
    final List<List> all = []

    Object methodMissing(String name, Object arguments) { throw new InvalidPipeline("unknown ${name} among stages") }

    void stage(String name, Closure body) { all << [name, body] }

    static List<List> read(Closure body) {
        Stages stages = new Stages()
        Body.call(body, stages)
        if (!stages.all) {
            throw new InvalidPipeline('stages without a stage')
        }
        stages.all
    }
}

/** A stage, and what is in it. */
class Stage {
    static final List<String> WORK = ['steps', 'stages', 'parallel', 'matrix']
    static final List<String> KNOWN = ['agent', 'environment', 'options', 'when', 'post'] + WORK

    static void inOrder(List<List> stages, Place place, boolean failFast) {
        stages.each { List stage -> run(stage[0], stage[1], place, failFast) }
    }

    static void run(String name, Closure body, Place outer, boolean failFast, String shown = name) {
        Run build = outer.run
        Block block = Block.read("stage ${name}", KNOWN, body)
        List<String> work = block.parts.keySet().intersect(WORK) as List
        if (work.size() != 1) {
            throw new InvalidPipeline("stage ${name} needs one of ${WORK.join(', ')}, and has ${work}")
        }
        if (!build.started && name != build.input.startAt) {
            build.event(event: 'stage', name: shown, status: 'left out')
            return
        }
        build.started = true
        Place place = outer.with(stage: shown, env: [STAGE_NAME: name])
        if (block.parts.agent) {
            Agent.note(block.parts.agent, place)
        }
        if (block.parts.environment) {
            place = place.with(env: Environment.of(block.parts.environment, place))
        }
        if (block.parts.when && !When.all(place, block.parts.when)) {
            build.event(event: 'stage', name: shown, status: 'skipped')
            build.say(shown, 'skipped by its when')
            return
        }
        Options options = new Options(place)
        if (block.parts.options) {
            Body.call(block.parts.options, options)
            place = place.with(deadline: options.until)
        }
        build.event(event: 'stage', name: shown, status: 'started', options: options.names)
        String result = outcome(place) { ->
            switch (work[0]) {
                case 'steps': Body.call(block.parts.steps, new Steps(place)); break
                case 'stages': inOrder(Stages.read(block.parts.stages), place, failFast); break
                case 'parallel': atOnce(Stages.read(block.parts.parallel).collect { [it[0], it[1], [:]] }, place, failFast); break
                case 'matrix': matrix(block.parts.matrix, place, failFast); break
            }
        }
        build.event(event: 'stage', name: shown, status: result)
        if (block.parts.post) {
            Post.run(block.parts.post, place, result)
        }
        if (result != 'SUCCESS') {
            throw result == 'ABORTED' ? new Aborted("stage ${shown}") : new StepFailed("stage ${shown}")
        }
    }

    /** Runs it; the result, which the build's gets at least as bad as. */
    static String outcome(Place place, Closure work) {
        try {
            work.call()
            return 'SUCCESS'
        } catch (StepFailed failure) {
            place.run.say(place.stage, "ERROR: ${failure.message}")
            place.run.worsen('FAILURE')
            return 'FAILURE'
        } catch (Aborted stopped) {
            place.run.say(place.stage, "ABORTED: ${stopped.message}")
            // A branch that was stopped because of another does not make the build an aborted one.
            if (stopped.message != 'another branch failed') {
                place.run.worsen('ABORTED')
            }
            return 'ABORTED'
        }
    }

    static void matrix(Closure body, Place place, boolean failFast) {
        Block block = Block.read("matrix of ${place.stage}", ['axes', 'stages'], body)
        Axes axes = new Axes()
        Body.call(block.parts.axes, axes)
        List<List> stages = Stages.read(block.parts.stages)
        List branches = axes.cells.collectMany { Map cell ->
            String label = cell.collect { "${it.key}=${it.value}" }.join(', ')
            [["${stages[0][0]} (${label})".toString(), stages, cell]]
        }
        atOnce(branches, place, failFast)
    }

    /** Branches in threads; the first failure stops the others if that was asked for. */
    static void atOnce(List branches, Place place, boolean failFast) {
        List<Throwable> failures = [].asSynchronized()
        List<Thread> threads = branches.collect { List branch ->
            Thread.start {
                try {
                    Place here = place.with(env: branch[2], stopped: { failFast && !failures.empty })
                    if (branch[1] instanceof Closure) {
                        run(branch[0], branch[1], here, failFast)
                    } else {
                        branch[1].each { List stage -> run(stage[0], stage[1], here, failFast, branch[0]) }
                    }
                } catch (Throwable failure) {
                    failures << failure
                }
            }
        }
        threads*.join()
        if (failures) {
            throw failures.min { it instanceof Aborted ? 2 : it instanceof StepFailed ? 1 : 0 }
        }
    }
}

/** An agent's label is noted; everything runs here. */
class Agent {
    static void note(Object agent, Place place) {
        if (agent instanceof Closure) {
            Block block = Block.read('agent', ['label', 'kubernetes', 'docker'], agent)
            if (block.parts.size() != 1) {
                throw new InvalidPipeline("an agent of one kind, not of ${block.parts.keySet()}")
            }
            place.run.event(event: 'agent', stage: place.stage, agent: block.parts.collectEntries { [it.key, "${it.value}"] })
        } else if (!(agent in ['any', 'none'])) {
            throw new InvalidPipeline("unknown agent ${agent}")
        }
    }
}

/** The assignments of an environment block. */
class Environment extends Names {
    final Place place
    final Map<String, String> values = [:]

    Environment(Place place) { this.place = place }

    static Map of(Closure body, Place place) {
        Environment environment = new Environment(place)
        Body.call(body, environment)
        environment.values
    }

    void setProperty(String name, Object value) { values[name] = "${value}".toString() }
}

/** `pipeline`, the one thing at the top of a Jenkinsfile. */
abstract class Top extends Script {
    static final List<String> KNOWN = ['agent', 'environment', 'options', 'parameters', 'triggers', 'stages', 'post']
    static Run build

    void pipeline(Closure body) {
        Block block = Block.read('pipeline', KNOWN, body)
        ['agent', 'stages'].each { String needed ->
            if (!block.parts.containsKey(needed)) {
                throw new InvalidPipeline("a pipeline needs ${needed}")
            }
        }
        Place place = new Place(build, 'pipeline', System.getenv() + build.input.env, Long.MAX_VALUE, { false })
        if (block.parts.parameters) {
            Parameters parameters = new Parameters(place)
            Body.call(block.parts.parameters, parameters)
            Set unknown = build.input.params.keySet() - parameters.values.keySet()
            if (unknown) {
                throw new InvalidPipeline("there is no parameter ${unknown.join(', ')}")
            }
            build.params.putAll(parameters.values)
            place = place.with(env: parameters.values)
        }
        Options options = new Options(place)
        if (block.parts.options) {
            Body.call(block.parts.options, options)
            place = place.with(deadline: options.until)
        }
        build.event(event: 'pipeline', options: options.names, parameters: build.params.keySet())
        Agent.note(block.parts.agent, place)
        if (block.parts.environment) {
            place = place.with(env: Environment.of(block.parts.environment, place))
        }
        Stage.outcome(place) { -> Stage.inOrder(Stages.read(block.parts.stages), place, options.failFast) }
        if (!build.started) {
            throw new InvalidPipeline("there is no stage ${build.input.startAt}")
        }
        if (block.parts.post) {
            Post.run(block.parts.post, place, build.result)
        }
    }
}

int code = 0
args.toList().collate(2).each { String jenkinsfile, String given ->
    Run run = new Run(new JsonSlurper().parse(new File(given)) as Map)
    run.record.mkdirs()
    Top.build = run
    try {
        new GroovyShell(getClass().classLoader, new Binding(), new CompilerConfiguration(scriptBaseClass: 'Top'))
            .evaluate(new File(jenkinsfile))
        run.event(event: 'end', result: run.result)
        println "Finished: ${run.result}"
        code = [SUCCESS: 0, ABORTED: 3].getOrDefault(run.result, 1)
    } catch (InvalidPipeline invalid) {
        System.err.println("Jenkinsfile: ${invalid.message}")
        run.event(event: 'invalid', message: invalid.message)
        code = 2
    }
}
System.exit(code)
